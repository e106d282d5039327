"""Recordings around something else, which they never disturb."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.errors import DeviceGoneError
from android_harness.fake_phone import FakePhone, Faults
from android_harness.target import CommandResult, Target
from android_harness.targets.local_target import LocalTarget
from android_harness.targets.open_target import open_target
from android_harness.telemetry.energy import energy_between, idle_energy
from android_harness.telemetry.recorder import recorded_telemetry
from android_harness.telemetry.records import (
    TelemetryBegin,
    TelemetryEnd,
    TelemetryReading,
)
from android_harness.telemetry.trace import read_records, read_trace
from tests.android_harness.telemetry.sensor_tree import SUPPLIES, sensor_files
from tests.android_harness.waiting import PATIENT

pytestmark = pytest.mark.usefixtures("private_home")

Kind = TypeVar("Kind", TelemetryBegin, TelemetryEnd, TelemetryReading)
FREQUENCY = "frequency_hertz.policy0"


@pytest.fixture
def sensing_phone(private_home: None) -> Iterator[FakePhone]:
    with FakePhone(files=sensor_files()) as phone:
        yield phone


@pytest.fixture
def sensing(sensing_phone: FakePhone) -> Iterator[Target]:
    with open_target(sensing_phone.target, timeouts=PATIENT) as target:
        yield target


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "samples" / "telemetry.jsonl"


def of_kind(path: Path, kind: type[Kind]) -> list[Kind]:
    return [record for record in read_records(path) if isinstance(record, kind)]


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(300):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("waited in vain")


def readings_so_far(path: Path) -> int:
    return len(of_kind(path, TelemetryReading))


def wait_for_readings(path: Path, count: int) -> None:
    wait_until(lambda: readings_so_far(path) >= count)


def poller_process(phone: FakePhone) -> int:
    (pid,) = phone.root.path.glob("data/local/tmp/fwdllm/telemetry/*/pid")
    return int(pid.read_text().split()[0])


def test_a_block_is_recorded_and_nothing_stays(
    sensing_phone: FakePhone, sensing: Target, path: Path
) -> None:
    with recorded_telemetry(sensing, path, fetch_interval_s=0.2) as recorder:
        wait_for_readings(path, 8)

    assert recorder.missing == []
    (begin,) = of_kind(path, TelemetryBegin)
    assert begin.target == sensing.name
    assert of_kind(path, TelemetryEnd) == [TelemetryEnd(reason="closed")]
    wait_until(lambda: sensing_phone.running_processes() == [])
    assert list((sensing_phone.root.path / "data/local/tmp/fwdllm/telemetry").iterdir()) == []
    assert read_trace(path).missing == ()


def test_the_table_holds_every_reading(sensing: Target, path: Path) -> None:
    with recorded_telemetry(sensing, path, fetch_interval_s=0.2):
        wait_for_readings(path, 6)

    table = pd.read_parquet(path.with_suffix(".parquet"))
    readings = of_kind(path, TelemetryReading)
    assert list(table["uptime_ns"]) == [reading.uptime_ns for reading in readings]
    for channel in set(table.columns) - {"begin", "uptime_ns"}:
        expected = [reading.values.get(channel, np.nan) for reading in readings]
        np.testing.assert_array_equal(table[channel], expected)


def test_the_idle_baseline_lies_on_the_device_s_clock(sensing: Target, path: Path) -> None:
    with recorded_telemetry(sensing, path, fetch_interval_s=0.5) as recorder:
        recorder.measure_idle(1.5)
        wait_for_readings(path, 8)

    trace = read_trace(path)
    idle = idle_energy(trace)
    assert idle is not None and idle.joules is not None
    assert idle.mean_watts == pytest.approx(0.229375 * 3.975)
    work = energy_between(trace, trace.idle_ns[0][0], trace.span_ns[1], idle.mean_watts)
    assert work.net_joules == pytest.approx(0, abs=1e-9)


def test_a_phone_that_is_plugged_in_says_so(private_home: None, path: Path) -> None:
    files = sensor_files() | {f"{SUPPLIES}/usb/online": "1\n"}
    with (
        FakePhone(files=files) as phone,
        open_target(phone.target, timeouts=PATIENT) as target,
        recorded_telemetry(target, path) as recorder,
    ):
        recorder.measure_idle(1.0)
    idle = idle_energy(read_trace(path))
    assert idle is not None
    assert (idle.joules, idle.verdict) == (None, "invalid")
    assert "externally powered" in idle.reasons[0]


def test_lost_connections_cost_no_reading(
    sensing_phone: FakePhone, sensing: Target, path: Path
) -> None:
    over = threading.Event()

    def drop() -> None:
        while not over.wait(0.1):
            sensing_phone.drop_connections()

    with recorded_telemetry(sensing, path, fetch_interval_s=0.05) as recorder:
        dropping = threading.Thread(target=drop)
        dropping.start()
        wait_for_readings(path, 12)
        over.set()
        dropping.join()

    assert recorder.missing == []
    (begin,) = of_kind(path, TelemetryBegin)  # one poller did it all
    assert FREQUENCY in {sensor.channel for sensor in begin.sensors}
    fast = [each.uptime_ns for each in of_kind(path, TelemetryReading) if FREQUENCY in each.values]
    assert fast == sorted(set(fast))


def test_a_poller_that_was_killed_is_followed_by_another(
    sensing_phone: FakePhone, sensing: Target, path: Path
) -> None:
    with recorded_telemetry(sensing, path, fetch_interval_s=0.2) as recorder:
        wait_for_readings(path, 2)
        os.kill(poller_process(sensing_phone), signal.SIGKILL)
        wait_until(lambda: len(of_kind(path, TelemetryBegin)) == 2)
        wait_until(lambda: isinstance(read_records(path)[-1], TelemetryReading))

    assert recorder.missing == []
    assert [end.reason for end in of_kind(path, TelemetryEnd)] == ["killed", "closed"]
    assert read_trace(path).one_boot


def test_a_device_that_comes_later_is_recorded_from_then_on(
    sensing_phone: FakePhone, sensing: Target, path: Path
) -> None:
    sensing_phone.faults = Faults(vanish_at_exit=True)
    with recorded_telemetry(sensing, path, fetch_interval_s=0.2) as recorder:
        time.sleep(0.5)
        assert readings_so_far(path) == 0
        sensing_phone.faults = Faults()
        wait_for_readings(path, 2)
    assert recorder.missing == []


def test_an_interrupted_file_is_continued_after_its_torn_line(sensing: Target, path: Path) -> None:
    whole = 0
    for _ in range(2):
        with recorded_telemetry(sensing, path, fetch_interval_s=0.2):
            wait_for_readings(path, whole + 2)
        whole = readings_so_far(path)
        with path.open("a") as file:
            file.write('{"event":"reading","uptime_ns":12')  # torn by a crash

    assert len(of_kind(path, TelemetryBegin)) == len(of_kind(path, TelemetryEnd)) == 2
    assert readings_so_far(path) == whole
    assert set(pd.read_parquet(path.with_suffix(".parquet"))["begin"]) == {0, 1}


class AwayTarget(LocalTarget):
    """A device that is never there."""

    def run(self, command: object, *, timeout_s: float | None = None) -> CommandResult:
        raise DeviceGoneError("no such device", device="adb:GONE")

    def wait_for(self, *, timeout_s: float) -> None:
        raise DeviceGoneError("no such device", device="adb:GONE")


def test_without_a_device_the_block_still_runs_and_the_reason_is_kept(
    tmp_path: Path, path: Path
) -> None:
    ran = False
    with recorded_telemetry(AwayTarget(tmp_path / "away"), path) as recorder:
        recorder.measure_idle(0.1)
        ran = True
    assert ran
    assert any("no such device" in reason for reason in recorder.missing)
    assert read_trace(path).missing == tuple(recorder.missing)
    energy = energy_between(read_trace(path), 0, 10**9)
    assert energy.joules is None and any("no such device" in each for each in energy.reasons)


def test_a_file_that_cannot_be_written_is_a_reason_too(sensing: Target, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with recorded_telemetry(sensing, blocked / "telemetry.jsonl") as recorder:
        pass
    assert recorder.missing


def test_what_the_block_raises_is_raised(sensing: Target, path: Path) -> None:
    with pytest.raises(KeyError), recorded_telemetry(sensing, path):
        raise KeyError("mine")
    assert of_kind(path, TelemetryEnd) or read_trace(path).missing


@given(st.binary(max_size=300), st.integers(0, 100))
def test_damaged_files_are_read_as_far_as_they_go(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, at: int
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "telemetry.jsonl"
    good = TelemetryReading(uptime_ns=5, values={"plugged.usb": 1.0}).model_dump_json().encode()
    content = (good + b"\n") * 3
    path.write_bytes(content[:at] + junk + content[at:])
    trace = read_trace(path)
    assert len(trace.series["plugged.usb"].values) >= 1  # two lines of three are whole at least
