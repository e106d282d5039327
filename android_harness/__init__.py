"""Devices: reaching them, learning what they are, and running the native runner on them."""
