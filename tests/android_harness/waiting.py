"""How long the device tests wait."""

from __future__ import annotations

import time
from pathlib import Path

from android_harness.adb.link import AdbTimeouts

# Long enough for a loaded machine to answer, short enough for a silent phone to fail quickly.
PATIENT = AdbTimeouts(connect_s=10, authorize_s=10, reply_s=10)
HASTY = AdbTimeouts(connect_s=1, authorize_s=0.5, reply_s=0.5)


def ends_soon(process: int) -> bool:
    """Whether a process that was sent a signal is gone, or only waits to be reaped."""
    for _ in range(200):
        try:
            if Path(f"/proc/{process}/stat").read_text().split()[2] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False
