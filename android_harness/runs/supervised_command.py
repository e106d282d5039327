"""Long programs on a device: apart from the link, with a deadline kept there, results in files.

The program runs under a POSIX shell script that toybox, busybox and dash all understand. Its run
folder tells everything: `started` is there once it has begun, `supervisor` names the process that
waits for the program, `processes` names all there are, and `exit_code` is a whole line once the
program has ended. A process is named by its id, its start (field 22 of /proc/PID/stat) and the
boot, and all three are looked at before a signal is sent, so that no reuse of an id kills a
stranger.

Nothing polls on the device: whoever waits for a run sleeps, and the supervisor ends its sleep.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

RECORDS_FILE = "records.jsonl"  # the program's standard output
ERRORS_FILE = "stderr.txt"
DEADLINE_EXIT_CODE = 124  # as timeout(1)

# What has become of a run: `lost` means that its supervisor was killed before the program ended,
# `absent` that it was never started or is removed.
RunState = Literal["running", "ended", "lost", "rebooted", "absent"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

# `began PID` sets $began; it fails where there is no such process, or one that waits to be reaped.
# The name of a program in /proc/PID/stat may hold anything, so what follows its last `)` counts.
_COMMON = """
set -f
boot=
read -r boot 2>/dev/null <"${FWDLLM_SYSTEM_ROOT:-}/proc/sys/kernel/random/boot_id"
began() {
  began=
  read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
  set -- ${stat##*) }
  [ "$1" != Z ] && began=${20}
}
is_alive() {
  [ "$3" = "$boot" ] && began "$1" && [ "$began" = "$2" ]
}
look() {
  code= pid= start= booted=
  if [ -f stopped ]; then state=absent
  elif read -r code 2>/dev/null <exit_code; then state=ended
  elif [ ! -f started ]; then state=absent
  elif ! read -r pid start booted 2>/dev/null <supervisor; then state=running
  elif [ "$booted" != "$boot" ]; then state=rebooted
  elif is_alive "$pid" "$start" "$booted"; then state=running
  else state=lost; fi
}
kill_processes() {
  # The group first, if it has been made yet: whoever waits for the process acts on its death.
  while read -r pid start booted; do
    [ "$pid" != $$ ] && is_alive "$pid" "$start" "$booted" && kill -9 "-$pid" "$pid"
  done 2>/dev/null <processes
}
"""

# In the run's folder $1. A process of the run writes itself down and then looks whether the run is
# over; this takes the two in the other order, so that one of them sees the other. `stopped`
# goes last, and what still begins while it goes has written itself down for the next turn.
_REMOVE = f"""
remove() {{
  tries=0
  while [ -d "$1" ] && [ $tries -lt 9 ]; do
    echo >stopped
    kill_processes
    rm -rf job job_sha256 {RECORDS_FILE} {ERRORS_FILE} exit_code expired supervisor started \\
      processes stopped "$1"
    tries=$((tries + 1))
  done 2>/dev/null
}}
"""

# $1: seconds, then the program and its arguments; in the run's folder, in a session of its own.
_SUPERVISE = f"""{_COMMON}
trap '' HUP
seconds=$1
shift
set -C
echo >started || exit
set +C
enroll() {{
  read -r pid stat </proc/self/stat && began "$pid" &&
    echo "$pid $began $boot" >>processes &&
    [ -f started ] && [ ! -f stopped ] && [ ! -f exit_code ]
}}
enroll && echo "$$ $began $boot" >supervisor || exit
alone=
command -v setsid >/dev/null 2>&1 && alone=setsid
(enroll && exec $alone "$@") >{RECORDS_FILE} 2>{ERRORS_FILE} </dev/null &
program=$!
began $program
start=$began
(
  enroll || exit
  (enroll && exec sleep "$seconds") &
  wait $! || exit
  : >expired
  is_alive $program "$start" "$boot" && kill -9 -$program $program
) &
wait $program
code=$?
[ ! -f expired ] || code={DEADLINE_EXIT_CODE}
echo $code >exit_code
kill_processes
"""

# $1: the run's folder, $2: seconds to wait; with more arguments, the start: $3: the script above,
# $4: the deadline in seconds, then the program.
_WAIT = f"""{_COMMON}
cd "$1" 2>/dev/null || {{ echo absent; exit; }}
seconds=$2
look
if [ $# -gt 2 ] && [ $state = absent ]; then
  script=$3
  shift 3
  alone=
  command -v setsid >/dev/null 2>&1 && alone=setsid
  $alone sh -c "$script" supervise "$@" >/dev/null 2>&1 </dev/null &
  state=running
fi
if [ $state = running ]; then
  sleep "$seconds" >/dev/null 2>&1 </dev/null &
  timer=$!
  began $timer && echo "$timer $began $boot" >>processes
  [ -f exit_code ] && kill -9 $timer
  wait $timer 2>/dev/null
  look
  # It began and could not even write down who it is: a full disk, or killed at once.
  [ $state != running ] || [ -s supervisor ] || state=lost
fi
echo $state $code
[ $state != ended ] || cat {RECORDS_FILE}
"""

_STOP = f"""{_COMMON}{_REMOVE}
cd "$1" 2>/dev/null && remove "$1"
[ ! -d "$1" ]
"""

# $1: the run's folder, $2: the hash of its job. Prints what there is to go on with.
_CLAIM = f"""{_COMMON}{_REMOVE}
if cd "$1" 2>/dev/null; then
  look
  job=
  read -r job 2>/dev/null <job_sha256
  case "$job $state $code" in
    "$2 running "* | "$2 ended 0") echo $state $code; exit ;;
  esac
  remove "$1"
fi
mkdir -p "$1" && echo "$2" >"$1/job_sha256" && echo absent
"""

# $1: the folder of all runs. A line for each: its state, its exit code or -, its name.
_LIST = f"""{_COMMON}
[ -d "$1" ] || exit 0
cd "$1" || exit
set +f
for name in *; do
  [ -d "$name" ] || continue
  (set -f; cd "$name" && look && echo "$state ${{code:--}} $name")
done
"""


@dataclass(frozen=True)
class RunReport:
    """What a device says of a run; with its exit code and its records once it has ended."""

    state: RunState
    exit_code: int | None = None
    records: str = ""


def is_run_name(name: str) -> bool:
    """Whether a run's folder may be called so: letters, digits, dots, dashes, underscores."""
    return _NAME.fullmatch(name) is not None


def claim(folder: PurePosixPath, job_sha256: str) -> list[str]:
    """The command that leaves in `folder` a run of this job that goes on or ended well, or nothing.

    Prints the run's report; `absent` says that the folder is empty and waits for the job.
    """
    return ["sh", "-c", _CLAIM, "claim", str(folder), job_sha256]


def start_and_wait(
    folder: PurePosixPath, program: Sequence[str], *, deadline_s: float, wait_s: int
) -> list[str]:
    """The command that starts `program` in the existing `folder`, unless that was done before.

    Prints the run's report as soon as it has ended, after `wait_s` seconds at the latest.
    """
    deadline = str(max(1, math.ceil(deadline_s)))
    arguments = [str(folder), str(wait_s), _SUPERVISE, deadline, *program]
    return ["sh", "-c", _WAIT, "start", *arguments]


def wait(folder: PurePosixPath, *, wait_s: int) -> list[str]:
    """The command that prints the run's report once it has ended or after `wait_s` seconds."""
    return ["sh", "-c", _WAIT, "wait", str(folder), str(wait_s)]


def stop(folder: PurePosixPath) -> list[str]:
    """The command that kills all of a run and removes its folder; 0: there is none any more."""
    return ["sh", "-c", _STOP, "stop", str(folder)]


def list_runs(folder: PurePosixPath) -> list[str]:
    """The command that reports all runs in `folder`, for `parse_list`."""
    return ["sh", "-c", _LIST, "list", str(folder)]


def parse_report(output: bytes) -> RunReport | None:
    """The report that a command printed; None where it printed none."""
    line, _, records = output.decode(errors="replace").partition("\n")
    match line.split():
        case ["ended", code] if code.isascii() and code.isdigit():
            return RunReport("ended", int(code), records)
        case [("running" | "lost" | "rebooted" | "absent") as state]:
            return RunReport(state)
    return None


def parse_list(output: bytes) -> dict[str, RunReport]:
    """The runs that `list_runs` printed, by their names."""
    runs = {}
    for line in output.decode(errors="replace").splitlines():
        report, _, name = line.rpartition(" ")
        parsed = parse_report(report.removesuffix(" -").encode())
        if parsed is not None and is_run_name(name):
            runs[name] = parsed
    return runs
