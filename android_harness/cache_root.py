"""Where this machine keeps what can be made again: runners, keys, the local target's files."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """`$FWDLLM_CACHE`, or `~/.cache/fwdllm`."""
    configured = os.environ.get("FWDLLM_CACHE")
    return Path(configured) if configured else Path.home() / ".cache" / "fwdllm"
