"""telemetry.jsonl: what a device's sensors said, one JSON object a line, appended as it comes.

A recording begins with a `begin`; a folder that was benched in several goes holds several. Times
are nanoseconds since the device's boot, sleep included: the clock of `SampleRecord.start_ns`, here
in steps of 10 ms. A sensor that a device does not have, or that its shell may not read, has no
values: none is ever zero for want of a better one.

The names of channels are `<quantity>.<sensor>`:

| quantity | what |
|---|---|
| `temperature_celsius` | of thermal zones, of the thermal service's sensors, of the battery |
| `thermal_status` | the device's throttling severity, 0 (none) to 6 (shutdown) |
| `cooling_state` | by how many of its steps something is slowed, or a fan runs |
| `frequency_hertz` | of a cpufreq policy, or of a core |
| `current_raw`, `voltage_raw` | of a battery, in a unit that `battery_scale.py` finds out |
| `battery_status` | BatteryManager's: 2 charging, 3 discharging, 4 not charging, 5 full |
| `charge_raw` | what is left in a battery, as a rule in µAh |
| `plugged` | 1 while a source of power is connected, else 0 |
| `memory_available_bytes` | MemAvailable |
| `poller_cpu_seconds` | CPU time of the poller and its programs so far |
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    AwareDatetime,
    Field,
    FiniteFloat,
    NonNegativeInt,
    PositiveFloat,
    TypeAdapter,
)

from exporters.contract import Part

TELEMETRY_NAME = "telemetry.jsonl"


class Sensor(Part):
    """A channel of a recording."""

    channel: str
    source: str  # a path on the device, or the command that told it
    interval_s: PositiveFloat  # between its readings, as asked for


class TelemetryBegin(Part):
    """A poller has begun; readings belong to the last `begin` before them."""

    event: Literal["begin"] = "begin"
    schema_version: Literal[1] = 1
    target: str
    boot_id: str | None  # uptimes of one boot can be compared
    started_at: AwareDatetime  # by this machine's clock
    sensors: tuple[Sensor, ...]


class TelemetryReading(Part):
    """What some channels said at one moment."""

    event: Literal["reading"] = "reading"
    uptime_ns: NonNegativeInt
    values: dict[str, FiniteFloat]


class TelemetryIdle(Part):
    """A window in which the device was left alone, for a baseline of its power."""

    event: Literal["idle"] = "idle"
    start_ns: NonNegativeInt
    end_ns: NonNegativeInt


class TelemetryEnd(Part):
    """No more readings from this poller.

    `closed`: the recording was ended. `lease`: the host did not ask for so long that the poller
    gave up. `limit`: its file was full. `killed`: the device ended it, or rebooted.
    """

    event: Literal["end"] = "end"
    reason: Literal["closed", "lease", "limit", "killed"]


class TelemetryMissing(Part):
    """Why readings are not here that should be."""

    event: Literal["missing"] = "missing"
    at: AwareDatetime
    reason: str


TelemetryRecord = (
    TelemetryBegin | TelemetryReading | TelemetryIdle | TelemetryEnd | TelemetryMissing
)
TELEMETRY_ADAPTER: TypeAdapter[TelemetryRecord] = TypeAdapter(
    Annotated[TelemetryRecord, Field(discriminator="event")]
)
