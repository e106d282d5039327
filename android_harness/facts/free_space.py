"""How much a device can still store."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import PurePosixPath

from android_harness.target import Target

# For device scripts: sets $folder to $1, or to the nearest folder above it that is there.
FIND_FOLDER = """folder=$1
while [ -n "$folder" ] && [ ! -d "$folder" ]; do folder=${folder%/*}; done
"""
ASK_DF = 'df -k "${folder:-/}"'
_ANSWER_TIMEOUT_S = 30.0
_UNIT_BYTES = {"": 1024, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_AMOUNT = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)([KMGT]?)")


def read_free_bytes(target: Target, folder: PurePosixPath) -> int | None:
    """What the shell user can still write below `folder`, in bytes; None: the device does not tell.

    Raises:
        DeviceError: the device cannot be asked.
    """
    command = ["sh", "-c", FIND_FOLDER + ASK_DF, "free", str(folder)]
    said = target.run(command, timeout_s=_ANSWER_TIMEOUT_S).stdout
    return parse_free_bytes(said.decode(errors="replace"))


def parse_free_bytes(output: str) -> int | None:
    """What `df -k FOLDER` says is free; never fails, whatever its output is.

    Of coreutils, busybox and toybox the column before the percentage, in KiB, also where a long
    device name breaks the line; of Android's toolbox the column `Free`, such as 8.6G.
    """
    words = output.split()
    for before, word in pairwise(words):
        if re.fullmatch(r"\d{1,3}%", word):
            return _bytes(before)
    rows = [line.split() for line in output.splitlines()]
    free = next((row.index("Free") for row in rows if "Free" in row), None)
    if free is None or len(rows[-1]) <= free:
        return None
    return _bytes(rows[-1][free])


def _bytes(amount: str) -> int | None:
    match = _AMOUNT.fullmatch(amount)
    return int(float(match[1]) * _UNIT_BYTES[match[2]]) if match else None
