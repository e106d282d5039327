"""How long a sweep will take still: by its own jobs, by an earlier profile, or unknown."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from android_harness.job import Warmup
from device_bench.fitting.fit_profile import fit_profile
from device_bench.plans.sweep_plan import Arm, arms_of
from device_bench.samples.measurement import Measurement
from device_bench.samples.time_left import TimeLeft, all_left, job_seconds, least_seconds, time_left
from device_bench.sweeps.sweep import run_sweep
from tests.device_bench.fake_timing_runner import LOAD_NS, FakeInstalledRunner
from tests.device_bench.made_samples import measurement
from tests.device_bench.sweeps.test_interleaving import plan

ARMS = arms_of([1], [16, 32, 64], [4], ["tangent"])
PLAN = plan(arms=ARMS, blocks=2, most_blocks=4, precision=0.01, repetitions=3, minimum_ms=500)


def job(arm: Arm, block: int, host_seconds: float) -> Measurement:
    made = measurement(ARMS.index(arm), arm, block, [1.0 + block])
    return made.model_copy(update={"host_seconds": host_seconds})


def test_nothing_tells_before_the_first_job() -> None:
    left = time_left(PLAN, [], {})

    assert left == TimeLeft((6, 12), None)
    assert least_seconds(PLAN, 6) == 6 * 3 * 0.5


def test_each_arm_takes_what_its_own_jobs_took_and_others_the_mean() -> None:
    done = [job(ARMS[0], 0, 10.0), job(ARMS[0], 1, 14.0), job(ARMS[1], 0, 2.0)]

    left = time_left(PLAN, done, {})

    # One to two jobs of the first, which is not precise; one to three of the second; the third has
    # the mean of 12 and 2.
    assert left.jobs == (1 + 1 + 2, 2 + 3 + 4)
    assert left.seconds == pytest.approx((12 + 2 + 2 * 7, 2 * 12 + 3 * 2 + 4 * 7))


def test_what_is_measured_counts_more_than_what_is_modelled() -> None:
    modelled = {ARMS[0]: 100.0, ARMS[1]: 5.0}

    before = time_left(PLAN, [], modelled)
    after = time_left(PLAN, [job(ARMS[0], 0, 10.0)], modelled)

    assert before.seconds == pytest.approx((2 * (100 + 5 + 52.5), 4 * (100 + 5 + 52.5)))
    assert after.seconds == pytest.approx((10 + 2 * (5 + 7.5), 3 * 10 + 4 * (5 + 7.5)))


def test_a_finished_sweep_has_nothing_left() -> None:
    numbered = list(enumerate(ARMS))
    done = [
        measurement(number, arm, block, [1.0]) for block in range(2) for number, arm in numbered
    ]
    assert time_left(PLAN, done, {}) == TimeLeft((0, 0), (0, 0))


def test_sweeps_that_take_turns_add_up() -> None:
    known = TimeLeft((1, 2), (3.0, 4.0))
    assert all_left([known, known]) == TimeLeft((2, 4), (6.0, 8.0))
    assert all_left([known, TimeLeft((1, 1), None)]) == TimeLeft((2, 3), None)


def test_an_earlier_profile_tells_of_its_arms_and_of_others(tmp_path: Path) -> None:
    """Its device has known costs, so its jobs have known times."""
    arms = arms_of([1, 4], [16, 128], [1, 8], ["central"])
    run_sweep(FakeInstalledRunner(), arms, tmp_path)
    (backend,) = fit_profile(tmp_path, now=datetime.now(UTC)).backends
    other, quick = arms_of([16], [64, 16], [8], ["central"])
    (upper_layers,) = arms_of([1], [128], [1], ["central"], [(4, 5)])
    settings = plan(arms=(arms[-1], other, upper_layers), warmup=Warmup(least=7), repetitions=3)

    seconds = job_seconds(settings, backend)

    # The first repetition, those of the warm-up, and those that count; of 8 probes each.
    repetitions = (1 + 7 + 3) * 8 * backend.arms[-1].seconds_per_probe.value
    assert seconds[arms[-1]] == pytest.approx(LOAD_NS / 1e9 + repetitions)
    assert seconds[other] > seconds[arms[-1]]
    assert LOAD_NS / 1e9 < seconds[upper_layers] < seconds[arms[-1]]
    # A repetition that is shorter than the minimum is filled up.
    filled = job_seconds(plan(arms=(quick,), minimum_ms=10**6), backend)[quick]
    assert filled == pytest.approx(1000, rel=1e-3)
