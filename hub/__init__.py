"""The hub: the only way from one spoke to another."""
