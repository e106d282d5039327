"""The section of one device, a part a file."""
