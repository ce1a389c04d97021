"""What runs apps: the SDK that they are written with, and the sandbox that they run in. Never imports the hub."""
