"""Answers that a server does not trust blindly."""
