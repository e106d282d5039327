"""What a device is."""
