"""Samples joined with telemetry and conditions."""

from __future__ import annotations

import numpy as np
import pytest

from android_harness.telemetry.records import Sensor
from android_harness.telemetry.trace import Series, Trace
from device_bench.policies.evidence import JobEvidence, job_evidence
from tests.device_bench.policies.made_jobs import around, job

SECOND = 10**9


def trace(one_boot: bool = True, **channels: dict[float, float]) -> Trace:
    series = {
        name.replace("__", "."): Series(
            np.array([at * SECOND for at in told], np.int64), np.array(list(told.values()), float)
        )
        for name, told in channels.items()
    }
    sensors = {
        name: Sensor(channel=name, source="made up", interval_s=5 if "status" in name else 1)
        for name in series
    }
    return Trace(series=series, sensors=sensors, one_boot=one_boot)


SILENT = trace()


def evidence(
    recorded: Trace = SILENT, seconds: tuple[float, ...] = (1.0,) * 3, **settings: object
) -> JobEvidence:
    """Of a job from the device's second 0 on."""
    (found,) = job_evidence([job(0, seconds, **settings).measurement], recorded)
    return found


def test_frequencies_are_medians_over_the_jobs_time() -> None:
    recorded = trace(frequency_hertz__policy4={0: 1e9, 1: 2e9, 2: 2e9, 3: 9e9, 4: 9e9})

    assert evidence(recorded).frequencies == {"policy4": 2e9}


def test_a_job_below_a_second_has_no_frequencies() -> None:
    recorded = trace(frequency_hertz__policy4={0: 1e9})

    assert evidence(recorded, (0.3,)).frequencies == {}


def test_the_status_is_that_of_the_nearest_answers_and_of_the_boundaries() -> None:
    recorded = trace(thermal_status__device={-10: 6, -4: 1, 20: 6})

    assert evidence(recorded).thermal_status == 1
    assert evidence(recorded, conditions=around(thermal_status=2)).thermal_status == 2
    assert evidence(conditions=around(thermal_status=0)).thermal_status == 0
    assert evidence().thermal_status is None


def test_cooling_states_are_the_highest_of_the_jobs_time() -> None:
    recorded = trace(cooling_state__cpu={0: 1, 2: 3, 9: 7})

    assert evidence(recorded).cooling == {"cpu": 3}


def test_times_of_several_boots_are_not_compared() -> None:
    recorded = trace(False, thermal_status__device={1: 3}, frequency_hertz__cpu0={1: 1e9})

    assert evidence(recorded).thermal_status is None
    assert evidence(recorded).frequencies == {}


def test_cores_are_cpu_time_over_time() -> None:
    assert evidence(seconds=(1.0, 3.0), cores=0.75).cores == pytest.approx(0.75)


def test_seconds_are_of_steady_repetitions_and_a_job_without_them_is_left_out() -> None:
    measured = job(0, (1.0, 2.0)).measurement
    first, second = measured.samples
    warm = measured.model_copy(
        update={"samples": (first.model_copy(update={"phase": "warmup"}), second)}
    )
    none = measured.model_copy(update={"samples": ()})

    (found,) = job_evidence([warm, none], trace())

    assert found.seconds.tolist() == [2.0]
    assert found.times_ns.tolist() == [SECOND]
