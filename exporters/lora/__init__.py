"""The LoRA parameter space: which tensors it has, its flat vector, and directions in it."""
