"""What holds on a device around a job, and what is waited for before one."""
