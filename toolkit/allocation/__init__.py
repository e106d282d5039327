"""How many probes each device runs in a round."""
