"""The `fwdllm` command line: one file per command."""
