"""What this project keeps on a device, and removing what is no longer wanted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal, get_args

from android_harness.errors import DeviceInUseError
from android_harness.target import Target

Kind = Literal["store", "incoming", "runs", "state", "telemetry"]

# A live run, or recording of telemetry, has a file that begins with the id of its process.
_LIVE = """
live() {
  for file in "$1/pid" "$1/supervisor"; do
    pid=
    [ ! -f "$file" ] || read -r pid rest <"$file"
    [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null && return 0
  done
  return 1
}
"""

# In the workspace $1: the time, then a line for each entry, and for each file in one of the store.
_LIST = f"""{_LIVE}
cd "$1" 2>/dev/null || exit 0
date +%s
for entry in store/* incoming/* runs/* state/* telemetry/*; do
  [ -e "$entry" ] || continue
  used=$(stat -c %Y "$entry" 2>/dev/null)
  size=$(du -sk "$entry" 2>/dev/null)
  live "$entry" && live=live || live=
  printf 'entry/%s/%s/%s/%s\\n' "$used" "${{size%%[!0-9]*}}" "$live" "$entry"
  case $entry in
    store/*) for file in "$entry"/*; do printf 'name/%s\\n' "${{file##*/}}"; done ;;
  esac
done
"""

# In the workspace $1: removes the rest of the arguments unless a run has begun meanwhile.
_REMOVE = f"""{_LIVE}
cd "$1" || exit 0
shift
for run in runs/* telemetry/*; do
  live "$run" && {{ echo live; exit 0; }}
done
rm -rf "$@"
"""
_AT_ONCE = 200  # paths in one command, whose length daemons limit
_SENDING_S = 600.0  # what has grown since then may still be on its way
_DAY_S = 24 * 3600.0


@dataclass(frozen=True)
class Entry:
    """Something in the workspace that can be removed by itself.

    Attributes:
        name: its SHA-256, or the name of its run or state.
        files: the names that its content goes by; of the store alone.
        size: bytes on the device's disk, in whole KiB; None: the device does not tell.
        idle_s: seconds since its last use, by the device's clock; None: it does not tell.
        live: of a run or a recording, its process lives; of incoming content, it may still be on
            its way.
    """

    kind: Kind
    name: str
    files: tuple[str, ...]
    size: int | None
    idle_s: float | None
    live: bool

    @property
    def path(self) -> PurePosixPath:
        """Below the workspace."""
        return PurePosixPath(self.kind, self.name)


def list_workspace(target: Target) -> list[Entry]:
    """What lies in the target's workspace.

    Raises:
        DeviceError: the device cannot be asked.
    """
    said = target.check(["sh", "-c", _LIST, "list", str(target.workspace)]).stdout
    return parse_entries(said.decode(errors="replace"))


def parse_entries(output: str) -> list[Entry]:
    """The entries that the script printed; never fails, whatever that is."""
    entries: list[Entry] = []
    now, _, lines = output.partition("\n")
    for line in lines.split("\n"):
        word, _, rest = line.partition("/")
        fields = rest.split("/", 3)
        if word == "name" and entries and rest != "*":
            last = entries.pop()
            entries.append(replace(last, files=(*last.files, rest)))
        elif word == "entry" and len(fields) == 4:
            folder, _, name = fields[3].partition("/")
            kind: Kind | None = next((each for each in get_args(Kind) if each == folder), None)
            if kind is None or name in ("", ".", "..") or "/" in name:
                continue
            used, size = _number(fields[0]), _number(fields[1])
            clock = _number(now)
            idle_s = None if used is None or clock is None else max(0.0, float(clock - used))
            sending = kind == "incoming" and idle_s is not None and idle_s < _SENDING_S
            entries.append(
                Entry(
                    kind=kind,
                    name=name,
                    files=(),
                    size=None if size is None else size * 1024,
                    idle_s=idle_s,
                    live=sending or fields[2] == "live",
                )
            )
    return entries


def unwanted(
    entries: Sequence[Entry], *, unused_days: float = 0.0, keep: Collection[str] = ()
) -> list[Entry]:
    """Those that were not used for so many days and whose names are not in `keep`.

    Live ones stay, and those whose last use is unknown stay unless any age will do.
    """
    return [
        entry
        for entry in entries
        if not entry.live
        and entry.name not in keep
        and (unused_days == 0 or (entry.idle_s or 0.0) >= unused_days * _DAY_S)
    ]


def remove_entries(target: Target, entries: Sequence[Entry]) -> None:
    """Removes entries from the workspace, unless a run lives there or begins meanwhile.

    Raises:
        DeviceInUseError: a run lives, which may use any of them.
        DeviceError: the device cannot be asked, or refuses.
    """
    if not entries:
        return
    paths = [str(entry.path) for entry in entries]
    for start in range(0, len(paths), _AT_ONCE):
        some = paths[start : start + _AT_ONCE]
        command = ["sh", "-c", _REMOVE, "remove", str(target.workspace), *some]
        if target.check(command).stdout.strip() == b"live":
            removed = f"{start} of {len(paths)} entries were" if start else "nothing was"
            raise DeviceInUseError(
                f"a run is under way there; {removed} removed", device=target.name
            )


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
