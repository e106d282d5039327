"""What a device can tell of why a runner ended badly: memory, a denial, heat."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from android_harness.errors import DeviceError
from android_harness.target import Target

_TIMEOUT_S = 10.0
_SEVERE = 3  # of Android's thermal statuses, 0 to 6: from here on the device is slowed down hard
_LONGEST_LINE = 200

# $1: the run's folder, $2: the runner's name. Each part may be denied or absent.
_SCRIPT = """
root=${FWDLLM_SYSTEM_ROOT:-}
echo "processes $(cat "$1/processes" 2>/dev/null | tr '\\n' ' ')"
while read -r name value unit; do
  case $name in MemAvailable:) echo "available $value" ;; esac
done 2>/dev/null <"$root/proc/meminfo"
dumpsys thermalservice 2>/dev/null | sed -n 's/^ *Thermal Status: */thermal /p' | head -n 1
{
  logcat -d -t 500 -s lowmemorykiller lmkd ActivityManager
  logcat -d -t 500 -b kernel
  logcat -d -t 500 -s auditd
  dmesg
} 2>/dev/null | grep -e "$2" -e 'ut of memory' -e 'avc: *denied' | tail -n 50 | sed 's/^/log /'
"""


@dataclass(frozen=True)
class Evidence:
    """What was found, each None or empty where the device does not tell.

    Attributes:
        available_bytes: memory that was left after the failure.
        thermal_status: Android's, 0 (none) to 6 (shutdown).
        log: lines of the device's logs that may be about the run.
        processes: the ids of the run's processes.
    """

    available_bytes: int | None = None
    thermal_status: int | None = None
    log: tuple[str, ...] = ()
    processes: frozenset[str] = frozenset()

    def hints(self, runner: str, *, killed: bool) -> list[str]:
        """Likely causes in words, the likeliest first.

        Args:
            runner: the program's name.
            killed: a signal ended it, so that memory matters.
        """
        hints = list(dict.fromkeys(self._from_log(runner)))[-1:]
        if self.thermal_status is not None and self.thermal_status >= _SEVERE:
            hints.append(f"the device is too hot, its thermal status is {self.thermal_status}")
        if killed and self.available_bytes is not None:
            free = self.available_bytes // 1_000_000
            hints.append(f"{free} MB of memory were available afterwards")
        return hints

    def _from_log(self, runner: str) -> Iterator[str]:
        for line in self.log:
            about_it = runner in line or self.processes & set(re.findall(r"\d+", line))
            if about_it and re.search(r"[Kk]ill|ut of memory", line):
                yield f"the device killed it, its log says: {line[:_LONGEST_LINE]}"
            elif about_it and "denied" in line:
                yield f"SELinux denied it something: {line[:_LONGEST_LINE]}"


def read_evidence(target: Target, folder: PurePosixPath, runner: str) -> Evidence:
    """Asks the device once and briefly; nothing is known where it does not answer."""
    command = ["sh", "-c", _SCRIPT, "evidence", str(folder), runner]
    try:
        said = target.run(command, timeout_s=_TIMEOUT_S).stdout
    except DeviceError:
        return Evidence()
    return parse_evidence(said.decode(errors="replace"))


def parse_evidence(said: str) -> Evidence:
    """The evidence from what the device printed, whatever that is."""
    values: dict[str, list[str]] = {}
    for line in said.splitlines():
        key, _, value = line.partition(" ")
        values.setdefault(key, []).append(value.strip())
    kilobytes = _number(values.get("available"))
    words = " ".join(values.get("processes", [])).split()
    return Evidence(
        available_bytes=None if kilobytes is None else 1024 * kilobytes,
        thermal_status=_number(values.get("thermal")),
        log=tuple(values.get("log", ())),
        processes=frozenset(words[::3]),  # id, start and boot of each
    )


def _number(values: list[str] | None) -> int | None:
    text = values[0] if values else ""
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else None
