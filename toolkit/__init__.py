"""The server side of FwdLLM and the `fwdllm` command line."""
