"""Long runs: which arm, how long, once; and what their curve says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from android_harness.telemetry.trace import Series, Trace
from device_bench.errors import SweepSettingsError
from device_bench.fitting.fit_profile import fit_profile
from device_bench.fitting.sustained_curve import fit_sustained
from device_bench.plans.sweep_plan import arms_of
from device_bench.profiles.profile import Sustained
from device_bench.samples.measurement import Measurement, Sample
from device_bench.samples.samples_folder import read_measurements
from device_bench.samples.sustained import (
    LongRun,
    long_run_timeout_s,
    longest_run,
    repetitions_for,
    sustained_seconds,
)
from device_bench.samples.time_left import TimeLeft
from device_bench.sweeps.sweep import run_sweep
from tests.device_bench.fake_timing_runner import FakeInstalledRunner
from tests.device_bench.made_samples import NOW
from tests.device_bench.made_samples import measurement as made
from tests.device_bench.policies.made_jobs import job

ARMS = arms_of([1, 4], [16, 64], [1, 8], ["central", "tangent"])
TEN_MINUTES_S = 600
BURST = [job(n, (1.0, 1.01, 0.99)).measurement for n in range(3)]


def curve(seconds: np.ndarray) -> Measurement:
    """A run whose repetitions of one probe take these seconds each."""
    starts_s = np.cumsum(seconds) - seconds
    samples = (
        Sample(
            phase="steady",
            repetition=number,
            directions=1,
            passes=1,
            start_ns=round(start_s * 1e9),
            wall_ns=round(value * 1e9),
            cpu_ns=0,
        )
        for number, (start_s, value) in enumerate(zip(starts_s, seconds, strict=True))
    )
    return BURST[0].model_copy(update={"samples": tuple(samples)})


def fitted(seconds: np.ndarray, trace: Trace | None = None) -> Sustained:
    noise = np.random.default_rng(3).normal(1, 0.02, len(seconds))
    return fit_sustained(curve(seconds * noise), BURST, trace or Trace(series={}, sensors={}))


def test_a_device_that_keeps_its_pace_has_a_factor_of_one() -> None:
    run = fitted(np.ones(TEN_MINUTES_S))

    assert run.seconds == pytest.approx(TEN_MINUTES_S, rel=0.01)
    assert run.factor.value == pytest.approx(1, abs=0.02)
    assert run.factor.low < 1 < run.factor.high
    assert (run.slowed_after_s, run.flattened) == (None, True)


@pytest.mark.parametrize("at", [60, 200, 350])
def test_a_device_that_falls_to_a_slower_pace_is_that_much_slower_from_then_on(at: int) -> None:
    run = fitted(np.where(np.arange(TEN_MINUTES_S) < at, 1.0, 1.5))

    assert run.factor.value == pytest.approx(1.5, rel=0.02)
    assert run.factor.low < 1.5 < run.factor.high
    assert run.slowed_after_s == pytest.approx(at, abs=12)
    assert run.flattened


def test_a_curve_that_still_rises_at_the_end_is_not_flat() -> None:
    assert not fitted(np.linspace(1, 2, TEN_MINUTES_S)).flattened


def test_temperatures_are_those_of_the_run() -> None:
    times = np.array([100, 500, 5000], np.int64) * 10**9
    names = ("skin", "battery", "BIG", "LITTLE")
    series = {
        f"temperature_celsius.{name}": Series(times, np.array([30.0 + n, 40.0 + n, 90.0]))
        for n, name in enumerate(names)
    }

    run = fitted(np.ones(TEN_MINUTES_S), Trace(series=series, sensors={}))

    assert run.max_celsius == {"LITTLE": 43, "BIG": 42, "battery": 41}
    assert fitted(np.ones(10), Trace(series=series, sensors={}, one_boot=False)).max_celsius == {}


def test_one_repetition_is_a_run_too() -> None:
    run = fitted(np.array([30.0]))

    assert (run.slowed_after_s, run.flattened, run.factor.value > 1) == (None, True, True)


def test_a_run_lasts_as_long_as_asked_for_at_the_arms_speed_in_the_sweep() -> None:
    assert repetitions_for(10, [job(0, (0.01,)).measurement]) >= TEN_MINUTES_S
    slow = repetitions_for(10, [job(0, (30.0,)).measurement])
    assert TEN_MINUTES_S <= 30 * slow <= 1.2 * TEN_MINUTES_S
    assert repetitions_for(0.1, [job(0, (1000.0,)).measurement]) == 1


def test_the_largest_arm_runs_in_one_process_and_only_once(tmp_path: Path) -> None:
    runner = FakeInstalledRunner()
    run_sweep(runner, ARMS, tmp_path, long_run=LongRun(0.5))
    run_sweep(runner, ARMS, tmp_path, long_run=LongRun(0.5))

    (run,) = read_measurements(tmp_path / "sustained.jsonl")
    assert len(runner.jobs) == 6 * len(ARMS) + 1
    (task,) = runner.jobs[-1].tasks
    assert (len(task.batch), task.directions_per_pass, task.minimum_ns) == (4, 8, 10**9)
    assert len(run.steady_seconds) == task.repetitions
    assert run.conditions is not None
    assert len(set(runner.names)) == len(runner.names)


def test_a_longer_run_is_measured_beside_a_shorter_one(tmp_path: Path) -> None:
    runner = FakeInstalledRunner()
    for minutes in (0.1, 0.5, 0.2):
        run_sweep(runner, ARMS, tmp_path, long_run=LongRun(minutes, "1,64,1,tangent"))

    runs = read_measurements(tmp_path / "sustained.jsonl")
    assert len(runs) == 2 and {run.arm.estimator for run in runs} == {"tangent"}
    longest = longest_run(tmp_path)
    assert longest is not None and sustained_seconds(longest) >= 30
    assert longest_run(tmp_path, backend="ggml-vulkan") is None
    assert longest_run(tmp_path, seconds=3600) is None


def test_the_profile_has_the_factor_and_says_that_the_run_was_short(tmp_path: Path) -> None:
    run_sweep(FakeInstalledRunner(), ARMS, tmp_path, long_run=LongRun(0.5))

    (backend,) = fit_profile(tmp_path, now=NOW).backends

    assert backend.sustained is not None
    assert backend.sustained_factor == backend.sustained.factor
    assert backend.sustained.factor.value == pytest.approx(1)
    assert "sustained-run-too-short" in backend.reasons


@pytest.mark.parametrize("name", ["7,7,7", "4,64", "4,64,8,forward", "all"])
def test_an_arm_that_is_none_is_refused_before_anything_is_written(
    tmp_path: Path, name: str
) -> None:
    runner = FakeInstalledRunner()

    with pytest.raises(SweepSettingsError, match="no arm of the sweep"):
        run_sweep(runner, ARMS, tmp_path / "samples", long_run=LongRun(10, name))

    assert runner.jobs == [] and not (tmp_path / "samples").exists()


@pytest.mark.parametrize("minutes", [0, -1, float("inf"), float("nan")])
def test_a_length_that_is_none_is_refused(minutes: float) -> None:
    with pytest.raises(SweepSettingsError, match="minutes"):
        LongRun(minutes)


def test_a_named_arm_runs_on_the_placement_that_the_profile_is_of() -> None:
    slow, fast = arms_of([1], [16], [1], ["tangent"], placements=[(1, None), (2, None)])
    measured = [made(0, slow, 0, [2.0]), made(1, fast, 0, [1.0])]

    for name in (None, "1,16,1"):
        assert LongRun(1, name).choose((slow, fast), measured) == fast


def test_of_equally_large_arms_that_which_the_plan_has_first_runs() -> None:
    arms = arms_of([1], [16], [1], ["tangent", "central"], [None, (1, 1)])
    for order in (arms, arms[::-1]):
        measured = [made(position, arm, 0, [1.0]) for position, arm in enumerate(order)]
        assert LongRun(1).choose(arms, measured) == arms[0]


def test_the_burst_is_that_of_the_arms_jobs_and_not_of_their_repetitions() -> None:
    many = [job(n, (1.0 + n / 10,) * 9).measurement for n in range(7)]

    run = fit_sustained(curve(np.ones(60)), many, Trace(series={}, sensors={}))

    burst = run.burst_seconds_per_probe
    assert (burst.low, burst.value, burst.high) == pytest.approx((1.0, 1.3, 1.6))


def test_a_long_run_counts_in_the_time_that_is_left_until_it_is_there(tmp_path: Path) -> None:
    said: list[TimeLeft] = []
    arms = ARMS[:1]
    run_sweep(
        FakeInstalledRunner(),
        arms,
        tmp_path,
        long_run=LongRun(10),
        on_progress=lambda text, done, left: said.append(left),
    )

    *during, after = said
    assert after.seconds == (0, 0)
    assert all(left.seconds[0] >= TEN_MINUTES_S for left in during[1:] if left.seconds is not None)
    assert during[-1].jobs == (0, 0) and during[-1].seconds == pytest.approx((660, 660))


@pytest.mark.parametrize("minutes", [0.1, 10, 60])
def test_a_short_limit_of_jobs_does_not_end_a_long_run(minutes: float) -> None:
    limit_s = long_run_timeout_s(1.0, minutes)
    planned_s = repetitions_for(minutes, [job(0, (0.01,)).measurement])

    assert limit_s is not None and limit_s > 1.9 * planned_s
    assert long_run_timeout_s(None, minutes) is None
