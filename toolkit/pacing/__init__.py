"""When a round has enough probes."""
