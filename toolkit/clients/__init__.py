"""The client of a device, and the fleet of the clients of one process."""
