"""A population of phones in this process, computed by PyTorch."""
