"""What makes a measured number suspect, one rule a file; and what is done so that none does."""
