"""GGUF artifacts that both stock llama.cpp and the native runner load."""
