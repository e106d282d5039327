"""Devices with settings for the tests: a phone on ADB, one in memory, and a run that is killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from android_harness.fake_phone import FakePhone
from android_harness.state.device_settings import SETTINGS
from android_harness.state.wanted_settings import WantedSettings
from android_harness.target import CommandResult, Target
from android_harness.targets.local_target import LocalTarget

_RUN = """
import sys, time
from android_harness.state.held_settings import held_settings
from android_harness.state.wanted_settings import WantedSettings
from android_harness.targets.open_target import open_target

with open_target(sys.argv[1]) as target:
    with held_settings(target, WantedSettings.model_validate_json(sys.argv[2])):
        print("held", flush=True)
        time.sleep(600)
"""

_ZEN_MODES = {"off": "0", "priority": "1", "none": "2", "alarms": "3"}


class HostDiedError(BaseException):
    """This machine is gone: from here on it sends no command."""


class AndroidInMemory(LocalTarget):
    """What the commands of the settings do to a table; and a host that dies at a command.

    Attributes:
        table: values by `NAMESPACE.KEY`, of `power.wakefulness` and `power.fixed_performance`.
        dies_at: the command, counted from now, at which the host dies; None: it lives.
        takes_effect: whether that command still reaches the device.
    """

    def __init__(self, table: Mapping[str, str], *, serial: str = "MEMORY1") -> None:
        super().__init__()
        self.name = f"adb:{serial}"
        self.serial = serial
        self.table = dict(table)
        self.charging = False
        self.dies_at: int | None = None
        self.takes_effect = False

    def run(self, command: Sequence[str], *, timeout_s: float | None = None) -> CommandResult:
        if self.dies_at is not None:
            if self.dies_at <= 0:
                if self.takes_effect and self.dies_at == 0:
                    self._obey(command)
                self.dies_at = -1
                raise HostDiedError
            self.dies_at -= 1
        return CommandResult(0, self._obey(command).encode(), b"")

    def _obey(self, command: Sequence[str]) -> str:
        match list(command):
            case ["getprop", _]:
                return "34\n"
            case ["sh", "-c", _]:
                return f"{self.serial}\n\nboot-id\n"
            case ["settings", "get", namespace, key]:
                return self.table.get(f"{namespace}.{key}", "null") + "\n"
            case ["settings", "put", namespace, key, value]:
                self.table[f"{namespace}.{key}"] = value
            case ["settings", "delete", namespace, key]:
                self.table.pop(f"{namespace}.{key}")
            case ["cmd", "power", "set-mode", mode] if not self.charging:
                self.table["global.low_power"] = mode
            case ["cmd", "power", "set-fixed-performance-mode-enabled", enabled]:
                self.table["power.fixed_performance"] = enabled
            case ["cmd", "connectivity", "airplane-mode", verb]:
                self.table["global.airplane_mode_on"] = "1" if verb == "enable" else "0"
            case ["cmd", "notification", "set_dnd", word]:
                self.table["global.zen_mode"] = _ZEN_MODES[word]
            case ["input", "keyevent", code]:
                self.table["power.wakefulness"] = "Awake" if code == "224" else "Asleep"
            case ["dumpsys", "power"]:
                return f"  mWakefulness={self.table['power.wakefulness']}\n"
        return ""


def values_on(target: Target) -> dict[str, str | None]:
    """What the device tells of its settings."""
    return {setting.name: setting.read(target).value for setting in SETTINGS}


def remembered(phone: FakePhone, name: str) -> str | None:
    """What a phone with `android_programs` was last told, also where Android does not tell it."""
    file = phone.root.path / "android" / name
    return file.read_text().strip() if file.exists() else None


@contextmanager
def run_in_a_process(target: str, wanted: WantedSettings) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the settings; killed at the latest at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN, target, wanted.model_dump_json()],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()
