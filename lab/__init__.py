"""The lab: published attacks on systems like this one, and what they come to without the hub and with it."""
