"""Settings of a device that are held for a run, and restored after it."""
