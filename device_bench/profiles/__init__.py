"""Capability profiles: what a device can do, as a contract, in files and between versions."""
