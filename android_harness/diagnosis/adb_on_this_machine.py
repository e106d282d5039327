"""The adb programs, server and key of this machine, and whether they get along."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from android_harness.adb.keys import load_keys
from android_harness.adb.link import AdbTimeouts
from android_harness.adb.server import find_server
from android_harness.adb.server_address import server_address
from android_harness.diagnosis.finding import Finding
from exporters.errors import FwdllmError

_VERSION = re.compile(r"version 1\.0\.(\d{1,6})(?:.*?^Version (\S+))?", re.DOTALL | re.MULTILINE)
_ANSWER_TIMEOUT_S = 10.0
_ONE_ADB = "use one adb everywhere: put its folder first in PATH and remove the others"


@dataclass(frozen=True)
class AdbProgram:
    """An adb program; `protocol` N of "1.0.N" is what it must have in common with a server."""

    path: Path
    protocol: int
    release: str  # such as 34.0.5; empty: it does not tell

    def __str__(self) -> str:
        return f"{self.path}: 1.0.{self.protocol} {self.release}".rstrip()


def diagnose_adb() -> list[Finding]:
    """Looks for what makes adb commands of one machine disturb each other."""
    programs = adb_programs()
    return [_programs_finding(programs), _server_finding(programs), _key_finding()]


def adb_programs() -> list[AdbProgram]:
    """Those on PATH, and of the Android SDKs that the environment or Android Studio names."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    sdks = [os.environ[name] for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT") if name in os.environ]
    sdks += [str(Path.home() / "Android" / "Sdk"), str(Path.home() / "Library/Android/sdk")]
    folders += [Path(sdk) / "platform-tools" for sdk in sdks]
    found = (folder / "adb" for folder in folders if os.access(folder / "adb", os.X_OK))
    distinct = {path.resolve(): path for path in reversed(list(found))}
    return [
        program for path in reversed(distinct.values()) if (program := _program(path)) is not None
    ]


def parse_version(said: str, path: Path) -> AdbProgram | None:
    """The program by what `adb version` prints; None when that is something else."""
    match = _VERSION.search(said)
    return None if match is None else AdbProgram(path, int(match[1]), match[2] or "")


def _program(path: Path) -> AdbProgram | None:
    try:
        result = subprocess.run(
            [path, "version"],
            capture_output=True,
            text=True,
            timeout=_ANSWER_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None  # not a program that works here
    return parse_version(result.stdout, path)


def _programs_finding(programs: Sequence[AdbProgram]) -> Finding:
    seen = "; ".join(map(str, programs)) or "none"
    if not programs:
        remedy = "install platform-tools to reach devices by adb:SERIAL and Wi-Fi pairing"
        return Finding("adb programs", True, seen, remedy)
    alike = len({program.protocol for program in programs}) == 1
    remedy = f"each kills the server of the other, and all that runs through it: {_ONE_ADB}"
    return Finding("adb programs", alike, seen, "" if alike else remedy)


def _server_finding(programs: Sequence[AdbProgram]) -> Finding:
    try:
        server = find_server(timeouts=AdbTimeouts(reply_s=_ANSWER_TIMEOUT_S))
        if server is None:
            return Finding("adb server", True, f"none at {server_address()}")
        version = server.version()
    except FwdllmError as error:
        return Finding("adb server", False, error.message, error.remedy)
    seen = f"1.0.{version} at {server_address()}"
    others = [program for program in programs if program.protocol != version]
    if not others:
        return Finding("adb server", True, seen)
    return Finding(
        "adb server",
        False,
        f"{seen}, but {others[0]}",
        f"the next command of that adb kills the server, and all that runs through it: {_ONE_ADB}, "
        "then `adb kill-server`",
    )


def _key_finding() -> Finding:
    user = Path.home() / ".android" / "adbkey"
    try:
        keys = load_keys()
    except (OSError, ValueError, TypeError) as error:
        return Finding(
            "adb key", False, str(error), "remove this project's adbkey; it is made anew"
        )
    if len(keys) > 1:
        return Finding("adb key", True, str(user))
    if user.exists():
        remedy = f"make {user} readable, or remove it and let adb make another"
        return Finding("adb key", True, f"this project's own; {user} cannot be used", remedy)
    return Finding("adb key", True, "this project's own: phones ask for it once")
