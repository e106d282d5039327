"""Where this machine keeps what belongs to no one run."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """What can be made again: runners, keys, the local target's files.

    `$FWDLLM_CACHE`, or `~/.cache/fwdllm`.
    """
    configured = os.environ.get("FWDLLM_CACHE")
    return Path(configured) if configured else Path.home() / ".cache" / "fwdllm"


def state_root() -> Path:
    """What must outlive this process: journals of runs, and of settings to restore on devices.

    `$FWDLLM_STATE`, or `fwdllm` in `$XDG_STATE_HOME` (`~/.local/state`).
    """
    configured = os.environ.get("FWDLLM_STATE")
    if configured:
        return Path(configured)
    above = os.environ.get("XDG_STATE_HOME")
    return (Path(above) if above else Path.home() / ".local" / "state") / "fwdllm"
