"""What the hub itself does for who asks, in place of an app's function: one class per action, the same ten steps."""
