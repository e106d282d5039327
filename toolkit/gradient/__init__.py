"""Forward gradients from slopes along named directions."""
