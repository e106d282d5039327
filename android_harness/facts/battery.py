"""What a device says of its battery: Android's battery service, or the kernel's power supplies."""

from __future__ import annotations

import re
from typing import Literal

from exporters.contract import Part

Status = Literal["charging", "discharging", "not charging", "full"]
Health = Literal["good", "overheat", "dead", "over voltage", "failure", "cold"]

# android.os.BatteryManager; 1 is "unknown" in both.
_STATUS: dict[str, Status] = {
    "2": "charging",
    "3": "discharging",
    "4": "not charging",
    "5": "full",
}
_HEALTH: dict[str, Health] = {
    "2": "good",
    "3": "overheat",
    "4": "dead",
    "5": "over voltage",
    "6": "failure",
    "7": "cold",
}
_KERNEL_STATUS: dict[str, Status] = {
    "Charging": "charging",
    "Discharging": "discharging",
    "Not charging": "not charging",
    "Full": "full",
}
_KERNEL_HEALTH: dict[str, Health] = {
    "Good": "good",
    "Overheat": "overheat",
    "Dead": "dead",
    "Over voltage": "over voltage",
    "Unspecified failure": "failure",
    "Cold": "cold",
}
_SOURCES = {"AC": "ac", "USB": "usb", "Wireless": "wireless", "Dock": "dock"}

_FIELD = re.compile(r"^\s*([A-Za-z][A-Za-z ]*): *(\S.*?)\s*$", re.MULTILINE)
_UPDATES_STOPPED = "(UPDATES STOPPED"
# Of one lithium cell up to a few in series.
_MILLIVOLTS = range(1_000, 30_000)
# Tenths of a degree. Gauges without a thermistor give 0.
_DECIDEGREES = range(-390, 1_500)


class BatteryReading(Part):
    """A battery at one moment; None where the device does not tell."""

    present: bool | None = None
    level_percent: float | None = None
    status: Status | None = None
    health: Health | None = None
    plugged: bool | None = None  # into any source, whether or not it charges
    plugged_into: tuple[str, ...] = ()  # ac, usb, wireless, dock
    millivolts: int | None = None
    celsius: float | None = None
    charge_counter_uah: int | None = None  # what is left in the battery, in µAh
    updates_stopped: bool = False  # someone set the values by hand: they tell nothing
    source: str | None = None


def parse_battery(text: str) -> BatteryReading:
    """`dumpsys battery`; never fails, whatever the text is.

    Of a key that repeats, as in vendors' additions below, the first value counts.
    """
    fields: dict[str, str] = {}
    for name, value in _FIELD.findall(text):
        fields.setdefault(name, value)
    powered = {source: fields.get(f"{name} powered") for name, source in _SOURCES.items()}
    plugged_into = tuple(source for source, said in powered.items() if said == "true")
    plugged = None if not {"true", "false"} & set(powered.values()) else bool(plugged_into)
    present = {"true": True, "false": False}.get(fields.get("present", ""))
    updates_stopped = _UPDATES_STOPPED in text
    source = "dumpsys battery" if fields.keys() & {"present", "level", "status"} else None
    if present is False:
        # What stands for the values of a battery that is not there are placeholders.
        return BatteryReading(
            present=False,
            plugged=plugged,
            plugged_into=plugged_into,
            updates_stopped=updates_stopped,
            source=source,
        )
    decidegrees = _integer(fields.get("temperature"))
    return BatteryReading(
        present=present,
        level_percent=_percent(_integer(fields.get("level")), _integer(fields.get("scale"))),
        status=_STATUS.get(fields.get("status", "")),
        health=_HEALTH.get(fields.get("health", "")),
        plugged=plugged,
        plugged_into=plugged_into,
        millivolts=_millivolts(_integer(fields.get("voltage"))),
        celsius=_celsius(decidegrees),
        charge_counter_uah=_positive(_integer(fields.get("Charge counter"))),
        updates_stopped=updates_stopped,
        source=source,
    )


def parse_power_supplies(text: str) -> BatteryReading:
    """`cat /sys/class/power_supply/*/uevent`, for devices without Android's battery service.

    The first supply of type Battery that serves the whole device counts; a mouse's does not.
    """
    battery: dict[str, str] | None = None
    feeds: list[tuple[str, str]] = []
    for supply in _supplies(text):
        kind = supply.get("TYPE", "")
        if kind == "Battery":
            if battery is None and supply.get("SCOPE") != "Device":
                battery = supply
        elif kind and supply.get("ONLINE") in ("0", "1"):
            feeds.append((_feed(kind), supply["ONLINE"]))
    plugged_into = tuple(dict.fromkeys(feed for feed, online in feeds if online == "1"))
    plugged = bool(plugged_into) if feeds else None
    source = "/sys/class/power_supply"
    if battery is None or battery.get("PRESENT") == "0":
        return BatteryReading(
            present=None if battery is None else False,
            plugged=plugged,
            plugged_into=plugged_into,
            source=source if battery is not None or feeds else None,
        )
    microvolts = _integer(battery.get("VOLTAGE_NOW"))
    return BatteryReading(
        present=True if battery.get("PRESENT") == "1" else None,
        level_percent=_percent(_integer(battery.get("CAPACITY")), 100),
        status=_KERNEL_STATUS.get(battery.get("STATUS", "")),
        health=_KERNEL_HEALTH.get(battery.get("HEALTH", "")),
        plugged=plugged,
        plugged_into=plugged_into,
        millivolts=None if microvolts is None else _millivolts(microvolts // 1000),
        celsius=_celsius(_integer(battery.get("TEMP"))),
        charge_counter_uah=_positive(
            _integer(battery.get("CHARGE_COUNTER") or battery.get("CHARGE_NOW"))
        ),
        source=source,
    )


def _supplies(text: str) -> list[dict[str, str]]:
    """One table a supply; each begins with its name."""
    supplies: list[dict[str, str]] = []
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if not equals or not key.startswith("POWER_SUPPLY_"):
            continue
        key = key.removeprefix("POWER_SUPPLY_")
        if key == "NAME":
            supplies.append({})
        if supplies:
            supplies[-1].setdefault(key, value)
    return supplies


def _feed(kind: str) -> str:
    if kind.startswith("USB"):
        return "usb"
    return {"Mains": "ac", "Wireless": "wireless"}.get(kind, kind.lower())


def _percent(level: int | None, scale: int | None) -> float | None:
    if level is None or not scale or not 0 <= level <= scale:
        return None
    return 100 * level / scale


def _celsius(decidegrees: int | None) -> float | None:
    return decidegrees / 10 if decidegrees and decidegrees in _DECIDEGREES else None


def _millivolts(value: int | None) -> int | None:
    return value if value in _MILLIVOLTS else None


def _positive(value: int | None) -> int | None:
    return value if value is not None and value > 0 else None


def _integer(text: str | None) -> int | None:
    text = text or ""
    return int(text) if re.fullmatch(r"-?[0-9]{1,12}", text) else None
