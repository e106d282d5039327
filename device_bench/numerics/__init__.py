"""The numeric gate: whether a backend computes what was exported, before anything is timed."""
