"""From a data file to the examples that the runner reads."""
