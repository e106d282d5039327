"""What to measure on a device, when a number can be trusted, and the profile it adds up to."""
