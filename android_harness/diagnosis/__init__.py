"""What keeps a device, or this machine's way to it, from working."""
