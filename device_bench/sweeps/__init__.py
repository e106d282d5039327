"""Measuring: jobs of sweeps in turn, into SAMPLES folders."""
