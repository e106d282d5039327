"""The lines that poller.sh writes, to records.

A letter, then words:

    b BOOT_ID
    c fast|slow QUANTITY PATH SENSOR...     a column; they count in order
    d UPTIME thermal|battery|current        what a service said, up to a line with a dot
    r INTERVAL_S DUMP_INTERVAL_S            all columns are told
    f UPTIME VALUE...                       the fast columns; - is absent
    s UPTIME VALUE...                       the slow columns
    e UPTIME lease|limit                    the poller ended by itself
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from android_harness.facts.battery import parse_battery
from android_harness.facts.thermal import parse_thermal_zones, parse_thermalservice
from android_harness.telemetry.records import (
    Sensor,
    TelemetryBegin,
    TelemetryEnd,
    TelemetryReading,
    TelemetryRecord,
)

_NANOSECONDS_PER_HUNDREDTH = 10_000_000
_SLOW_INTERVAL_S = 1.0
_TICKS_PER_S = 100  # USER_HZ, on all processors that phones and boards have
_ABSENT_INTEGER = -(2**31)  # how Java's Integer.MIN_VALUE, "not supported", arrives
_NAMES = {
    "zone": "temperature_celsius",
    "battery-temperature": "temperature_celsius",
    "cooling": "cooling_state",
    "frequency": "frequency_hertz",
    "current": "current_raw",
    "voltage": "voltage_raw",
    "status": "battery_status",
    "charge": "charge_raw",
    "plugged": "plugged",
    "memory": "memory_available_bytes",
    "poller": "poller_cpu_seconds",
}
_STATUS_NUMBERS = {"charging": 2.0, "discharging": 3.0, "not charging": 4.0, "full": 5.0}


class _Column:
    """A file that the poller reads."""

    def __init__(self, quantity: str, path: str, sensor: str, channel: str) -> None:
        self.quantity = quantity
        self.path = path
        self.channel = channel
        self._sensor = sensor

    def value(self, text: str) -> float | None:
        """The reading in the channel's unit; None for what is none."""
        if self.quantity == "zone":
            return _zone_celsius(self._sensor, text)
        number = _integer(text)
        if number is None or number == _ABSENT_INTEGER:
            return None
        match self.quantity:
            case "battery-temperature":
                return number / 10
            case "frequency":
                return number * 1000.0  # cpufreq tells kHz
            case "memory":
                return number * 1024.0
            case "poller":
                return number / _TICKS_PER_S
            case _:
                return float(number)


class DeviceLines:
    """Takes what a poller wrote, in pieces that end anywhere; whatever it is, it never fails.

    Args:
        target: for the `begin`.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._rest = b""
        self._boot_id: str | None = None
        self._columns: dict[str, list[_Column]] = {"fast": [], "slow": []}
        self._taken: set[str] = set()
        self._begun = False
        self._early: list[tuple[str, TelemetryReading]] = []  # of services, before the `begin`
        self._dump: tuple[int, str, list[str]] | None = None

    def feed(self, data: bytes) -> list[TelemetryRecord]:
        """The records that `data` completes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [record for line in lines for record in self._records(line.decode(errors="replace"))]

    def _records(self, line: str) -> Iterator[TelemetryRecord]:
        if self._dump is not None:
            uptime_ns, service, said = self._dump
            if line == ".":
                self._dump = None
                yield from self._service_reading(uptime_ns, service, "\n".join(said))
            else:
                said.append(line)
            return
        letter, _, words = line.partition(" ")
        match letter:
            case "b":
                self._boot_id = words if words.strip("-") else None
            case "c":
                self._add_column(words)
            case "d":
                uptime, _, service = words.partition(" ")
                uptime_ns_or_none = _uptime_ns(uptime)
                if uptime_ns_or_none is not None:
                    self._dump = (uptime_ns_or_none, service, [])
            case "r":
                yield from self._begin(words)
            case "f" | "s":
                yield from self._reading(self._columns["fast" if letter == "f" else "slow"], words)
            case "e":
                reason = words.rpartition(" ")[2]
                if reason in ("lease", "limit"):
                    yield TelemetryEnd.model_validate({"reason": reason})

    def _add_column(self, words: str) -> None:
        group, quantity, path, sensor = (*words.split(" ", 3), "", "", "")[:4]
        if group not in self._columns:
            return
        # A column of an unknown quantity keeps the places of those after it.
        name = f"{_NAMES.get(quantity, 'unknown')}.{sensor or path}"
        if quantity == "battery-temperature":
            name += " gauge"  # the kernel has a thermal zone of the battery beside it, often
        self._columns[group].append(_Column(quantity, path, sensor, self._unique(name)))

    def _unique(self, channel: str) -> str:
        """The channel, with a number where a device has several sensors of a name."""
        number, unique = 1, channel
        while unique in self._taken:
            number += 1
            unique = f"{channel}#{number}"
        self._taken.add(unique)
        return unique

    def _begin(self, words: str) -> Iterator[TelemetryRecord]:
        if self._begun:
            return
        asked, _, asked_of_services = words.partition(" ")
        interval_s = _seconds(asked)
        service_interval_s = _seconds(asked_of_services)
        intervals_s = {"fast": interval_s, "slow": max(interval_s, _SLOW_INTERVAL_S)}
        sensors = [
            Sensor(channel=column.channel, source=column.path, interval_s=intervals_s[group])
            for group, columns in self._columns.items()
            for column in columns
            if column.quantity in _NAMES
        ]
        sensors += [
            Sensor(channel=channel, source=source, interval_s=service_interval_s)
            for source, reading in self._early
            for channel in reading.values
        ]
        self._begun = True
        yield TelemetryBegin(
            target=self._target,
            boot_id=self._boot_id,
            started_at=datetime.now(UTC),
            sensors=tuple(sensors),
        )
        for _, reading in self._early:
            yield reading

    def _reading(self, columns: list[_Column], words: str) -> Iterator[TelemetryRecord]:
        uptime, *texts = words.split(" ")
        uptime_ns = _uptime_ns(uptime)
        if uptime_ns is None or not self._begun:
            return
        values = {
            column.channel: value
            for column, text in zip(columns, texts, strict=False)
            if column.quantity in _NAMES and (value := column.value(text)) is not None
        }
        if values:
            yield TelemetryReading(uptime_ns=uptime_ns, values=values)

    def _service_reading(
        self, uptime_ns: int, service: str, text: str
    ) -> Iterator[TelemetryRecord]:
        match service:
            case "thermal":
                source, told = "dumpsys thermalservice", _thermal_values(text)
            case "battery":
                source, told = "dumpsys battery", _battery_values(text)
            case "current" | "current-old":
                number = _integer(text.strip())
                absent = number is None or number == _ABSENT_INTEGER
                told = [] if number is None or absent else [("current_raw.battery", float(number))]
                source = "cmd battery get current_now"
            case _:
                return
        values: dict[str, float] = {}
        for channel, value in told:
            # Sensors of one name within one answer; what files tell has the name itself.
            number_of_name, unique = 1, channel
            while unique in values or unique in self._taken:
                number_of_name += 1
                unique = f"{channel}#{number_of_name}"
            values[unique] = value
        if not values:
            return
        reading = TelemetryReading(uptime_ns=uptime_ns, values=values)
        if self._begun:
            yield reading
        else:
            self._early.append((source, reading))


def _thermal_values(text: str) -> list[tuple[str, float]]:
    heat = parse_thermalservice(text)
    values = [
        *((f"temperature_celsius.{each.name}", each.celsius) for each in heat.temperatures),
        *((f"cooling_state.{each.name}", float(each.level)) for each in heat.cooling),
    ]
    if heat.status is not None and not heat.status_overridden:
        values.append(("thermal_status.device", float(heat.status)))
    return values


def _battery_values(text: str) -> list[tuple[str, float]]:
    battery = parse_battery(text)
    if battery.updates_stopped:  # `dumpsys battery unplug` and the like: values set by hand
        return []
    told: list[tuple[str, float | None]] = [
        ("voltage_raw.battery", battery.millivolts),
        ("battery_status.battery", _STATUS_NUMBERS.get(battery.status or "")),
        ("temperature_celsius.battery gauge", battery.celsius),
        ("charge_raw.battery", battery.charge_counter_uah),
        ("plugged.any", None if battery.plugged is None else float(battery.plugged)),
    ]
    return [(channel, float(value)) for channel, value in told if value is not None]


def _zone_celsius(name: str, text: str) -> float | None:
    zone = "/sys/class/thermal/thermal_zone0"
    heat = parse_thermal_zones({f"{zone}/type": name, f"{zone}/temp": text})
    return heat.temperatures[0].celsius if heat.temperatures else None


def _integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else None


def _seconds(text: str) -> float:
    """A positive number of seconds; 1 for what is none."""
    return float(text) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) and float(text) else 1.0


def _uptime_ns(text: str) -> int | None:
    """/proc/uptime's seconds with two decimals, exactly."""
    match = re.fullmatch(r"([0-9]{1,10})\.([0-9]{2})", text)
    return None if match is None else int(match[1] + match[2]) * _NANOSECONDS_PER_HUNDREDTH
