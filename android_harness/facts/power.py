"""Whether a device is awake and saves power: `dumpsys power` and Android's settings."""

from __future__ import annotations

import re
from typing import Literal

from exporters.contract import Part

Wakefulness = Literal["awake", "dreaming", "dozing", "asleep"]
Screen = Literal["on", "off", "doze"]

_WAKEFULNESS = re.compile(r"\bmWakefulness=(Awake|Dreaming|Dozing|Asleep)\b")
_WAKEFULNESS_OF: dict[str, Wakefulness] = {
    "Awake": "awake",
    "Dreaming": "dreaming",
    "Dozing": "dozing",
    "Asleep": "asleep",
}
_DISPLAY = re.compile(r"\bDisplay Power: state=(ON|OFF|DOZE)")
_SCREEN_OF: dict[str, Screen] = {"ON": "on", "OFF": "off", "DOZE": "doze"}


class PowerReading(Part):
    """None where the device does not tell."""

    wakefulness: Wakefulness | None = None
    screen: Screen | None = None
    power_save: bool | None = None
    airplane_mode: bool | None = None


def parse_power(dump: str, *, low_power: str = "", airplane_mode: str = "") -> PowerReading:
    """Never fails, whatever the texts are.

    Args:
        dump: `dumpsys power`, or the lines of it that name mWakefulness and Display Power.
        low_power: `settings get global low_power`.
        airplane_mode: `settings get global airplane_mode_on`.
    """
    wakefulness, display = _WAKEFULNESS.search(dump), _DISPLAY.search(dump)
    return PowerReading(
        wakefulness=_WAKEFULNESS_OF[wakefulness[1]] if wakefulness else None,
        screen=_SCREEN_OF[display[1]] if display else None,
        power_save=_flag(low_power),
        airplane_mode=_flag(airplane_mode),
    )


def _flag(text: str) -> bool | None:
    return {"0": False, "1": True}.get(text.strip())
