"""/proc/meminfo."""

from __future__ import annotations

import re


def memory_bytes(meminfo: str, name: str) -> int | None:
    """A line such as MemTotal; None if it is not there."""
    match = re.search(rf"^{name}: +([0-9]{{1,15}}) kB$", meminfo, re.MULTILINE)
    return int(match[1]) * 1024 if match else None
