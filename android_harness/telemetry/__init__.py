"""What a device does while it works: temperatures, frequencies, power, memory."""
