"""Runners from sources: what they are built of, for which processor, with what."""
