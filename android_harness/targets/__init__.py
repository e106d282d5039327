"""Devices on which commands run and where files can be put, however they are reached."""
