"""Which directions a round probes."""
