"""Many devices: each takes the next task when it is free, and fails alone."""
