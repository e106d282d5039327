"""What a run may change on an Android device: one small class a setting.

Values are text as the device tells it (`null`: unset), or a word where Android has only numbers.
A setting that cannot be read is never written, since nothing would be known to restore it to;
"cannot" is an answer with a reason and not an error. Of a write only what is read back counts:
Android's commands often end with exit code 0 after they did nothing.
"""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from android_harness.target import CommandResult, Target

SettingName = Literal[
    "battery_saver",
    "fixed_performance",
    "do_not_disturb",
    "airplane",
    "screen",
    "screen_off_timeout_ms",
    "stay_awake",
    "brightness_mode",
    "brightness",
]

_COMMAND_TIMEOUT_S = 20.0
# Do-not-disturb and wakefulness follow their commands with a delay.
_SETTLING_S = 2.0
_PAUSE_S = 0.1

_STORED_VALUE = re.compile(r"-?[0-9]+|null")
_WAKEFULNESS = re.compile(r"^ *mWakefulness=(\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Reading:
    """A setting's value; None when the device does not tell it, and then why."""

    value: str | None
    why: str = ""


@dataclass(frozen=True)
class Change:
    """How a write ended.

    Attributes:
        took: the value was read back; where it cannot be read, the device did not object.
        now: the value read back.
        objection: the device's words, or ours, when it did not take.
    """

    took: bool
    now: Reading
    objection: str


class Setting(ABC):
    """One setting.

    Attributes:
        assumed: what it is taken to have been where the device never tells it; None: it tells.
    """

    name: SettingName
    assumed: str | None = None

    @abstractmethod
    def read(self, target: Target) -> Reading:
        """Its value now."""

    @abstractmethod
    def command(self, value: str) -> Sequence[str]:
        """What sets it."""

    def refusal(self, target: Target, value: str) -> str:
        """Why it must not be set through this target; empty: it may."""
        return ""

    def change(self, target: Target, value: str) -> Change:
        """Writes the value and reads it back.

        Raises:
            DeviceError: the device cannot be reached.
        """
        if refusal := self.refusal(target, value):
            return Change(False, self.read(target), refusal)
        result = target.run(self.command(value), timeout_s=_COMMAND_TIMEOUT_S)
        objection = _said(result) or (f"exit code {result.exit_code}" if result.exit_code else "")
        end = time.monotonic() + _SETTLING_S
        while True:
            now = self.read(target)
            if now.value is None:
                return Change(not objection, now, objection)
            if now.value == value:
                return Change(True, now, "")
            if result.exit_code != 0 or time.monotonic() > end:
                return Change(False, now, objection or f"the device keeps {now.value}")
            time.sleep(_PAUSE_S)


class StoredSetting(Setting):
    """A number that `settings` reads and writes, and that the system heeds once it changes."""

    def __init__(self, name: SettingName, namespace: str, key: str) -> None:
        self.name = name
        self._namespace = namespace
        self._key = key

    def read(self, target: Target) -> Reading:
        return _stored(target, self._namespace, self._key)

    def command(self, value: str) -> Sequence[str]:
        if value == "null":
            return ["settings", "delete", self._namespace, self._key]
        return ["settings", "put", self._namespace, self._key, value]


class BatterySaver(Setting):
    """`off` or `on`. Android refuses to turn it on while the device charges."""

    name = "battery_saver"

    def read(self, target: Target) -> Reading:
        return _in_words(_stored(target, "global", "low_power"), _SWITCH)

    def command(self, value: str) -> Sequence[str]:
        return ["cmd", "power", "set-mode", "1" if value == "on" else "0"]


class FixedPerformance(Setting):
    """`off` or `on`: clocks at a level the vendor holds for sustainable (Android 11, some devices).

    The mode lives in the vendor's power HAL. Android has a command that sets it and none that
    reads it, and a reboot ends it.
    """

    name = "fixed_performance"
    assumed = "off"

    def read(self, target: Target) -> Reading:
        return Reading(None, "Android does not tell it")

    def command(self, value: str) -> Sequence[str]:
        enabled = "true" if value == "on" else "false"
        return ["cmd", "power", "set-fixed-performance-mode-enabled", enabled]


class DoNotDisturb(Setting):
    """`off`, `priority`, `alarms` or `none`: what may interrupt (settable since Android 11)."""

    name = "do_not_disturb"

    def read(self, target: Target) -> Reading:
        words = {"null": "off", "0": "off", "1": "priority", "2": "none", "3": "alarms"}
        return _in_words(_stored(target, "global", "zen_mode"), words)

    def command(self, value: str) -> Sequence[str]:
        return ["cmd", "notification", "set_dnd", value]


class AirplaneMode(Setting):
    """`off` or `on` (settable since Android 11).

    Before, the setting can be written, but the radios follow a broadcast that only the system may
    send: nothing would change but what the device says of itself.
    """

    name = "airplane"

    def read(self, target: Target) -> Reading:
        return _in_words(_stored(target, "global", "airplane_mode_on"), _SWITCH)

    def command(self, value: str) -> Sequence[str]:
        verb = "enable" if value == "on" else "disable"
        return ["cmd", "connectivity", "airplane-mode", verb]

    def refusal(self, target: Target, value: str) -> str:
        if value == "on" and is_over_network(target.name):
            return "it would cut the network that the device is reached over"
        return ""


class Screen(Setting):
    """`off` or `on`; a screen that dozes or is always on counts as off."""

    name = "screen"

    def read(self, target: Target) -> Reading:
        result = target.run(["dumpsys", "power"], timeout_s=_COMMAND_TIMEOUT_S)
        found = _WAKEFULNESS.search(result.stdout.decode(errors="replace"))
        if found is None:
            return Reading(None, _said_or(result, "dumpsys power tells no mWakefulness"))
        words = {"Awake": "on", "Dreaming": "on", "Asleep": "off", "Dozing": "off"}
        return _in_words(Reading(found.group(1)), words)

    def command(self, value: str) -> Sequence[str]:
        # KEYCODE_WAKEUP and KEYCODE_SLEEP; the power key would only toggle.
        return ["input", "keyevent", "224" if value == "on" else "223"]


# In the order in which they are set; battery saver first, because it dims and slows down others.
SETTINGS: tuple[Setting, ...] = (
    BatterySaver(),
    FixedPerformance(),
    DoNotDisturb(),
    AirplaneMode(),
    Screen(),
    StoredSetting("screen_off_timeout_ms", "system", "screen_off_timeout"),
    StoredSetting("stay_awake", "global", "stay_on_while_plugged_in"),
    # Before the brightness, which the automatic mode would change again.
    StoredSetting("brightness_mode", "system", "screen_brightness_mode"),
    StoredSetting("brightness", "system", "screen_brightness"),
)

_SWITCH = {"null": "off", "0": "off", "1": "on"}


def is_over_network(target_name: str) -> bool:
    """Whether a device is reached over a network: an address, or wireless debugging's mDNS name."""
    kind, _, serial = target_name.partition(":")
    return kind == "adb-tcp" or ":" in serial or "._adb-tls-connect" in serial


def parse_stored_value(stdout: bytes) -> str | None:
    """The number or `null` that `settings get` printed; None for anything else."""
    text = stdout.decode(errors="replace").strip()
    return text if _STORED_VALUE.fullmatch(text) else None


def _stored(target: Target, namespace: str, key: str) -> Reading:
    result = target.run(["settings", "get", namespace, key], timeout_s=_COMMAND_TIMEOUT_S)
    value = parse_stored_value(result.stdout) if result.exit_code == 0 else None
    if value is None:
        return Reading(None, _said_or(result, f"exit code {result.exit_code}"))
    return Reading(value)


def _in_words(reading: Reading, words: Mapping[str, str]) -> Reading:
    if reading.value is None or reading.value in words:
        return Reading(None if reading.value is None else words[reading.value], reading.why)
    return Reading(None, f"the device says {reading.value}")


def _said_or(result: CommandResult, otherwise: str) -> str:
    return _said(result) or otherwise


def _said(result: CommandResult) -> str:
    """A command's own words on one line; the first two lines name an exception and its reason."""
    text = (result.stderr + b"\n" + result.stdout).decode(errors="replace")
    lines = [line.strip() for line in text.splitlines()]
    # Some phones' linkers warn of their own libraries in front of every program.
    lines = [line for line in lines if line and not line.startswith("WARNING: linker")]
    return " ".join(lines[:2])[:200]
