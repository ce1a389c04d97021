"""The model: the one door to it, and its provider. The key never leaves here."""
