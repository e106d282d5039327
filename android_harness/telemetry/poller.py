"""The poller on a device: a small shell script that writes down what the sensors say.

Current, voltage and frequencies are looked at `hertz` times a second, the rest once a second, and
what only Android's services tell every `dump_interval_s`: `dumpsys` is dear. Which files the shell
may read is found out once, at the start. The script needs no host: it writes into a file, so that
a connection that is lost costs nothing. It ends by itself when the host has not fetched for
`lease_s`, or when the file has `limit_bytes`.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from android_harness.errors import CommandFailedError
from android_harness.host_process import HostProcess
from android_harness.target import Target

_SCRIPT = Path(__file__).with_name("poller.sh")
_FOLDER = "telemetry"  # of the workspace, for the folders of all pollers
_NAME = re.compile(r"([0-9a-f-]{36})\.([0-9]{1,10})\.([0-9]{1,20})\.[0-9a-f]{32}")
_END = 'sh "$1/poller.sh" finish "$1" 0 0 >/dev/null 2>&1; rm -rf "$1"'
_ANSWER_TIMEOUT_S = 30.0
# At most so much in one answer, so that it fits the time also after hours on a slow link.
_CHUNK_BYTES = 2 << 20
_HEAD = re.compile(rb"(running|ended|absent) ([0-9]{1,10}\.[0-9]{2})\n")


@dataclass(frozen=True)
class PollerSettings:
    """How a poller works.

    Attributes:
        hertz: looks a second at current, voltage and frequencies; above 4 a gauge says the same
            again.
        dump_interval_s: seconds between questions to Android's services; whole, at least 1.
        lease_s: seconds without a host after which the poller ends.
        limit_bytes: of its file on the device, which 50 sensors in files fill by 2 MB an hour.
    """

    hertz: float = 4.0
    dump_interval_s: int = 5
    lease_s: int = 900
    limit_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        if not 0.01 <= self.hertz <= 4:
            raise ValueError(f"a poller looks 0.01 to 4 times a second, not {self.hertz:g}")
        if self.dump_interval_s < 1 or self.lease_s < 1 or self.limit_bytes < 1:
            raise ValueError("intervals, lease and limit of a poller are at least 1")


@dataclass(frozen=True)
class Increment:
    """What a poller wrote since the last time.

    Attributes:
        state: `absent`: its folder is gone.
        uptime_s: the device's clock.
        data: the bytes; a line may be cut at their end. Empty: there are no more so far.
    """

    state: Literal["running", "ended", "absent"]
    uptime_s: float
    data: bytes


def _new_name() -> str:
    """Of a folder, that tells which process of which machine its poller is for."""
    owner = HostProcess.current()
    return f"{owner.boot_id}.{owner.pid}.{owner.started_ticks}.{uuid.uuid4().hex}"


def _end_left(target: Target) -> None:
    """Ends and removes the pollers whose process on this machine was killed."""
    folder = target.workspace / _FOLDER
    listed = target.run(["ls", str(folder)], timeout_s=_ANSWER_TIMEOUT_S)
    here = HostProcess.current().boot_id
    for name in listed.stdout.decode(errors="replace").split():
        match = _NAME.fullmatch(name)
        if match is None or match[1] != here:
            continue  # another machine's, or of before this one's boot: its lease ends it
        owner = HostProcess(pid=int(match[2]), started_ticks=int(match[3]), boot_id=here)
        if not owner.is_alive:
            command = ["sh", "-c", _END, "end", str(folder / name)]
            target.run(command, timeout_s=_ANSWER_TIMEOUT_S)


class Poller:
    """A poller on a device, in a folder of its own.

    A call that raises a `DeviceError` may be repeated: nothing is started, or fetched, twice.

    Attributes:
        folder: where it is on the device.
        started: the device has confirmed its start.
    """

    def __init__(self, target: Target, settings: PollerSettings) -> None:
        self.folder = target.workspace / _FOLDER / _new_name()
        self.started = False
        self._target = target
        self._settings = settings
        self._fetched = 0

    def start(self) -> None:
        """Puts the script on the device and starts it; cleans up after hosts that crashed.

        Raises:
            DeviceError: it could not be started, or the answer was lost.
        """
        _end_left(self._target)
        settings = self._settings
        script = self.folder / _SCRIPT.name
        self._target.push(_SCRIPT, script)
        words = (f"{1 / settings.hertz:g}", settings.dump_interval_s, settings.lease_s)
        self._target.check(
            self._command("start", *words, settings.limit_bytes), timeout_s=_ANSWER_TIMEOUT_S
        )
        self.started = True

    def fetch(self) -> Increment:
        """What is new, and the lease renewed: one short command.

        Raises:
            DeviceError: the device did not answer; the next fetch brings this one's bytes too.
        """
        return self._increment("fetch", self._fetched, _CHUNK_BYTES, self._settings.lease_s)

    def finish(self) -> Increment:
        """Kills the poller, and fetches what is left as far as one answer holds it.

        Raises:
            DeviceError: the device did not answer.
        """
        return self._increment("finish", self._fetched, _CHUNK_BYTES)

    def remove(self) -> None:
        """Removes the folder of a poller that has ended.

        Raises:
            DeviceError: the device did not answer.
        """
        self._target.run(["rm", "-rf", str(self.folder)], timeout_s=_ANSWER_TIMEOUT_S)

    def _increment(self, action: str, *words: object) -> Increment:
        command = self._command(action, *words)
        said = self._target.run(command, timeout_s=_ANSWER_TIMEOUT_S)
        head = _HEAD.match(said.stdout)
        if head is None:
            # Without its script, the folder is gone: `sh` says so and ends with 2 or 127.
            if said.exit_code in (2, 127):
                return Increment("absent", 0.0, b"")
            complaint = said.stderr[-200:].decode(errors="replace").strip()
            raise CommandFailedError(
                f"exit code {said.exit_code}, {complaint}",
                device=self._target.name,
                command=f"poller.sh {action}",
            )
        data = said.stdout[head.end() :]
        self._fetched += len(data)
        return Increment(head[1].decode(), float(head[2]), data)  # type: ignore[arg-type]

    def _command(self, action: str, *words: object) -> list[str]:
        script = str(self.folder / _SCRIPT.name)
        return ["sh", script, action, str(self.folder), *(str(word) for word in words)]
