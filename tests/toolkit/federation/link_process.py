"""A SuperLink in a process of its own: `python link_process.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from toolkit.federation.logs import log_to_stderr
from toolkit.federation.superlink import run_superlink

if __name__ == "__main__":
    log_to_stderr()
    run_superlink(Path(sys.argv[1]))
