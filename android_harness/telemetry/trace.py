"""A recording of telemetry in memory: a series of readings per channel, on the device's clock."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from android_harness.telemetry.records import (
    TELEMETRY_ADAPTER,
    Sensor,
    TelemetryBegin,
    TelemetryIdle,
    TelemetryMissing,
    TelemetryReading,
    TelemetryRecord,
)


@dataclass(frozen=True)
class Series:
    """The readings of one channel, in the order of their times.

    Attributes:
        times_ns: int64 [n], since boot.
        values: float64 [n].
    """

    times_ns: NDArray[np.int64]
    values: NDArray[np.float64]

    def between(self, start_ns: int, end_ns: int) -> NDArray[np.float64]:
        """The values in an interval, its ends included."""
        first = np.searchsorted(self.times_ns, start_ns, side="left")
        last = np.searchsorted(self.times_ns, end_ns, side="right")
        return self.values[first:last]


EMPTY = Series(np.empty(0, np.int64), np.empty(0, np.float64))


@dataclass(frozen=True)
class Trace:
    """All that a telemetry.jsonl holds.

    Attributes:
        sensors: by channel; those that told something at the start.
        idle_ns: windows in which the device was left alone, (start, end).
        missing: why readings are not here that should be.
        one_boot: all readings are of one boot, so that their times can be compared.
    """

    series: dict[str, Series]
    sensors: dict[str, Sensor]
    idle_ns: tuple[tuple[int, int], ...] = ()
    missing: tuple[str, ...] = ()
    one_boot: bool = True

    @classmethod
    def from_records(cls, records: list[TelemetryRecord]) -> Self:
        times: dict[str, list[int]] = defaultdict(list)
        values: dict[str, list[float]] = defaultdict(list)
        begins = [record for record in records if isinstance(record, TelemetryBegin)]
        for record in records:
            if isinstance(record, TelemetryReading):
                for channel, value in record.values.items():
                    times[channel].append(record.uptime_ns)
                    values[channel].append(value)
        return cls(
            series={channel: _series(times[channel], values[channel]) for channel in times},
            sensors={sensor.channel: sensor for begin in begins for sensor in begin.sensors},
            idle_ns=tuple(
                (record.start_ns, record.end_ns)
                for record in records
                if isinstance(record, TelemetryIdle)
            ),
            missing=tuple(
                record.reason for record in records if isinstance(record, TelemetryMissing)
            ),
            one_boot=len({begin.boot_id for begin in begins}) <= 1,
        )

    @property
    def span_ns(self) -> tuple[int, int]:
        """The times of the first and the last reading; (0, 0) without any."""
        ends = [(each.times_ns[0], each.times_ns[-1]) for each in self.series.values()]
        if not ends:
            return 0, 0
        return int(min(first for first, _ in ends)), int(max(last for _, last in ends))

    def between(self, quantity: str, start_ns: int, end_ns: int) -> dict[str, NDArray[np.float64]]:
        """The readings of a quantity by sensor; those without one in the interval are not there."""
        found = {
            sensor: series.between(start_ns, end_ns) for sensor, series in self.of(quantity).items()
        }
        return {sensor: readings for sensor, readings in found.items() if len(readings)}

    def of(self, quantity: str) -> dict[str, Series]:
        """The channels of a quantity, by the name of their sensor."""
        return {
            channel.removeprefix(f"{quantity}."): series
            for channel, series in self.series.items()
            if channel.startswith(f"{quantity}.")
        }


NO_TRACE = Trace(series={}, sensors={})


def read_records(path: Path) -> list[TelemetryRecord]:
    """The records of a telemetry.jsonl; none when there is no such file.

    Lines that are no record, as a crash leaves one, are left out.
    """
    if not path.exists():
        return []
    records = []
    for line in path.read_bytes().split(b"\n"):
        try:
            records.append(TELEMETRY_ADAPTER.validate_json(line))
        except ValidationError:
            continue
    return records


def read_trace(path: Path) -> Trace:
    """The recording in a telemetry.jsonl; an empty one when there is no such file."""
    return Trace.from_records(read_records(path))


def _series(times_ns: list[int], values: list[float]) -> Series:
    order = np.argsort(np.asarray(times_ns, np.int64), kind="stable")
    return Series(np.asarray(times_ns, np.int64)[order], np.asarray(values, np.float64)[order])
