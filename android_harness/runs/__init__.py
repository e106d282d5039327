"""The native runner on a device, from the job to its records."""
