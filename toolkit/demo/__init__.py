"""The embedded default of `fwdllm demo`: a small LLaMA, data, and a fake phone, all made here."""
