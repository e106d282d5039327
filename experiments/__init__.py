"""What docs/results.md says, from declared experiments to its tables and plots."""
