"""Slopes that hide what they were measured on, and what that is worth."""
