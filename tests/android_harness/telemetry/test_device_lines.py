"""From the poller's lines to records, whatever arrives."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from android_harness.telemetry.device_lines import DeviceLines
from android_harness.telemetry.records import (
    TelemetryBegin,
    TelemetryEnd,
    TelemetryReading,
    TelemetryRecord,
)

LINES = b"""b 661cbfd0-5a5a-4d5e-898b-51c6558231e4
c slow zone /sys/class/thermal/thermal_zone0/temp cpu 0
c fast current /sys/class/power_supply/bms/current_now bms
c slow something-new /sys/new x
c slow plugged /sys/class/power_supply/usb/online usb
d 10.01 battery
Current Battery Service state:
  status: 3
  present: true
  voltage: 3975
.
r 0.25 5
f 10.25 -229375
s 10.25 41000 7 0
f 10.50 -
s 11.25 - 7 1
e 11.50 lease
"""


def records_of(data: bytes) -> list[TelemetryRecord]:
    return DeviceLines("local").feed(data)


def test_columns_give_their_readings_names_and_units() -> None:
    begin, *readings, end = records_of(LINES)

    assert isinstance(begin, TelemetryBegin)
    assert begin.boot_id == "661cbfd0-5a5a-4d5e-898b-51c6558231e4"
    assert {sensor.channel: sensor.interval_s for sensor in begin.sensors} == {
        "temperature_celsius.cpu 0": 1.0,
        "current_raw.bms": 0.25,
        "plugged.usb": 1.0,
        "voltage_raw.battery": 5.0,
        "battery_status.battery": 5.0,
    }
    assert readings == [
        TelemetryReading(
            uptime_ns=10_010_000_000,
            values={"voltage_raw.battery": 3975.0, "battery_status.battery": 3.0},
        ),
        TelemetryReading(uptime_ns=10_250_000_000, values={"current_raw.bms": -229375.0}),
        TelemetryReading(
            uptime_ns=10_250_000_000,
            values={"temperature_celsius.cpu 0": 41.0, "plugged.usb": 0.0},
        ),
        TelemetryReading(uptime_ns=11_250_000_000, values={"plugged.usb": 1.0}),
    ]
    assert end == TelemetryEnd(reason="lease")


@given(st.lists(st.integers(0, len(LINES)), max_size=6))
def test_where_the_pieces_end_does_not_matter(cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(LINES)]
    lines = DeviceLines("local")

    pieces = pairwise(ends)
    records = [record for first, last in pieces for record in lines.feed(LINES[first:last])]

    def told(some: list[TelemetryRecord]) -> list[dict[str, object]]:
        return [record.model_dump(exclude={"started_at"}) for record in some]

    assert told(records) == told(records_of(LINES))


@given(st.binary(max_size=200), st.integers(0, len(LINES)))
def test_arbitrary_bytes_never_fail(junk: bytes, at: int) -> None:
    records_of(LINES[:at] + junk + LINES[at:])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["b", "c", "d", "r", "f", "s", "e", "."]),
            st.text("c0123456789.- fastslowzone/-ermal\n", max_size=40),
        ),
        max_size=20,
    )
)
def test_lines_of_the_right_letters_never_fail(lines: list[tuple[str, str]]) -> None:
    records_of("".join(f"{letter} {words}\n" for letter, words in lines).encode())


@given(st.text("-0123456789", max_size=25))
def test_a_current_is_itself_or_absent(text: str) -> None:
    readings = records_of(LINES.replace(b"f 10.50 -\n", f"f 10.50 {text}\n".encode()))
    (late,) = [
        reading.values.get("current_raw.bms")
        for reading in readings
        if isinstance(reading, TelemetryReading) and reading.uptime_ns == 10_500_000_000
    ] or [None]
    assert late is None or late == float(text)


def test_what_was_set_by_hand_tells_nothing() -> None:
    faked = LINES.replace(
        b"Service state:\n", b"Service state:\n  (UPDATES STOPPED -- use 'reset' to restart)\n"
    )
    assert not any("voltage_raw" in name for name in channels(records_of(faked)))
    overridden = b"d 1.00 thermal\nIsStatusOverride: %s\nThermal Status: 3\n.\nr 1 1\n"
    assert channels(records_of(overridden % b"true")) == set()
    assert channels(records_of(overridden % b"false")) == {"thermal_status.device"}


def test_the_services_of_a_pixel_8(shared_data: Path) -> None:
    dumps = shared_data / "phones" / "dumpsys"
    said = b"".join(
        b"d 1.00 %s\n%s\n.\n" % (service, (dumps / name).read_bytes())
        for service, name in (
            (b"thermal", "pixel8-thermalservice.txt"),
            (b"battery", "pixel8-battery.txt"),
            (b"current", "pixel8-current-now.txt"),
        )
    )

    begin, *readings = records_of(said + b"r 0.25 5\n")

    values: dict[str, float] = {}
    for reading in readings:
        assert isinstance(reading, TelemetryReading)
        values |= reading.values
    assert isinstance(begin, TelemetryBegin)
    assert {sensor.channel for sensor in begin.sensors} == set(values)
    assert values["current_raw.battery"] == -229375.0
    assert values["voltage_raw.battery"] == 3975.0
    assert values["temperature_celsius.VIRTUAL-SKIN"] == 33.61866
    assert values["thermal_status.device"] == 0.0
    assert values["plugged.any"] == 0.0
    assert "temperature_celsius.thb_hda" not in values  # 0.0: it is not there


def channels(records: list[TelemetryRecord]) -> set[str]:
    return {
        name for record in records if isinstance(record, TelemetryReading) for name in record.values
    }
