"""Long programs on a device: their own process group, a deadline kept there, output in files.

The program runs under a small POSIX shell script that any toybox or busybox device has, so that
a program that hangs ends even when the host has gone, and nothing outlives its run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import PurePosixPath

RECORDS_FILE = "records.jsonl"  # the program's standard output
ERRORS_FILE = "stderr.txt"
DEADLINE_EXIT_CODE = 124  # as timeout(1)

# $1: the run's folder, $2: seconds (0: no deadline), then the program and its arguments.
# `setsid` gives the program, and apart from it the watchdog with its sleep, a process group;
# without it (before Android 6) only the program itself can be killed. A kill goes to the process
# and to the group because the group may not have been made yet.
_SUPERVISE = f"""
cd "$1" || exit 1
seconds=$2
shift 2
command -v setsid >/dev/null 2>&1 || setsid() {{ exec "$@"; }}
setsid "$@" >{RECORDS_FILE} 2>{ERRORS_FILE} </dev/null &
program=$!
echo $program >pid
watchdog=
if [ "$seconds" -gt 0 ]; then
  setsid sh -c 'sleep "$1"; : >expired; kill -9 "$2" "-$2"' watchdog "$seconds" $program \\
    >/dev/null 2>&1 </dev/null &
  watchdog=$!
fi
wait $program
code=$?
rm -f pid
[ -z "$watchdog" ] || kill -9 $watchdog "-$watchdog" 2>/dev/null
[ ! -f expired ] || code={DEADLINE_EXIT_CODE}
exit $code
"""

_STOP = """
cd "$1" 2>/dev/null || exit 0
[ ! -f pid ] || kill -9 "$(cat pid)" "-$(cat pid)" 2>/dev/null
cd / && rm -rf "$1"
"""


def supervised(
    folder: PurePosixPath, program: Sequence[str], *, deadline_s: float | None
) -> list[str]:
    """The command that runs `program` in the existing `folder`.

    It ends with the program's exit code, or `DEADLINE_EXIT_CODE` when the deadline killed it.
    """
    seconds = 0 if deadline_s is None else max(1, math.ceil(deadline_s))
    return ["sh", "-c", _SUPERVISE, "supervise", str(folder), str(seconds), *program]


def stop(folder: PurePosixPath) -> list[str]:
    """The command that kills the folder's program, when it still runs, and removes the folder."""
    return ["sh", "-c", _STOP, "stop", str(folder)]
