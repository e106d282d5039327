"""Hugging Face LLaMA-class models with LoRA to quantized artifact bundles for phones."""
