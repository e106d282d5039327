"""Which jobs are due, and how several sweeps of a device take turns."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.errors import IncompleteRunError
from android_harness.job import NO_WARMUP
from device_bench.fitting.fit_profile import fit_profile
from device_bench.plans.sweep_plan import Slot, SweepPlan, arms_of, sweep_plan
from device_bench.samples.measurement import Measurement
from device_bench.samples.outstanding import jobs_left, least_left
from device_bench.samples.samples_folder import read_measurements
from device_bench.sweeps.bundle_sweep import BundleSweep
from device_bench.sweeps.interleaving import in_turn
from device_bench.sweeps.sweep import run_sweep, run_sweeps
from tests.device_bench.fake_timing_runner import FakeInstalledRunner
from tests.device_bench.made_samples import NOW

ARMS = arms_of([1, 4], [16, 64], [1], ["tangent"])
NOISY = {"blocks": 2, "most_blocks": 5, "precision": 0.05, "repetitions": 1}


def plan(blocks: int = 3, **changes: object) -> SweepPlan:
    settings = {
        "arms": ARMS,
        "warmup": NO_WARMUP,
        "repetitions": 1,
        "minimum_ms": 0,
        "blocks": blocks,
        "most_blocks": blocks,
        "precision": None,
        "seed": 0,
        "loss_positions": "last",
    }
    return sweep_plan(**{**settings, **changes})


def measured(folder: Path) -> list[Measurement]:
    return read_measurements(folder / "samples.jsonl")


def slots(folder: Path) -> list[Slot]:
    return [measurement.slot for measurement in measured(folder)]


def both(folder: Path, runner: FakeInstalledRunner, other: FakeInstalledRunner) -> None:
    """Two sweeps of one device; the second has one arm less."""
    run_sweeps(
        [
            BundleSweep(runner, plan(), folder / "a"),
            BundleSweep(other, plan(arms=ARMS[:-1]), folder / "b"),
        ]
    )


def test_sweeps_take_turns_within_each_block(tmp_path: Path) -> None:
    runner = FakeInstalledRunner()

    both(tmp_path, runner, runner)

    story = sorted(
        (job.measured_at, name, job.slot.block)
        for name in "ab"
        for job in measured(tmp_path / name)
    )
    assert [block for _, _, block in story] == [block for block in range(3) for _ in range(7)]
    for _, jobs in groupby(story, key=lambda job: job[2]):
        names = [name for _, name, _ in jobs]
        assert names != sorted(names) and names != sorted(names, reverse=True)


def test_a_sweep_has_the_same_order_alone_and_beside_another(tmp_path: Path) -> None:
    both(tmp_path, FakeInstalledRunner(), FakeInstalledRunner())
    run_sweeps([BundleSweep(FakeInstalledRunner(), plan(), tmp_path / "alone")])

    assert slots(tmp_path / "a") == slots(tmp_path / "alone")


def test_both_sweeps_go_on_where_the_device_went_away(tmp_path: Path) -> None:
    with pytest.raises(IncompleteRunError):
        both(tmp_path / "cut", *[FakeInstalledRunner(drop_out_at=9)] * 2)
    both(tmp_path / "cut", FakeInstalledRunner(), FakeInstalledRunner())
    both(tmp_path / "whole", FakeInstalledRunner(), FakeInstalledRunner())

    for name in "ab":
        assert slots(tmp_path / "cut" / name) == slots(tmp_path / "whole" / name)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(0, 2**32))
def test_a_block_holds_every_due_job_once_and_in_its_own_order(
    counts: list[int], seed: int
) -> None:
    due = [[Slot(block=1, arm=arm) for arm in range(count)] for count in counts]

    turns = list(in_turn(1, due, seed))

    for number, jobs in enumerate(due):
        assert [slot for each, slot in turns if each == number] == jobs


def test_an_arm_that_is_known_precisely_is_not_measured_again(tmp_path: Path) -> None:
    run_sweep(FakeInstalledRunner(), ARMS, tmp_path, **NOISY)

    assert {slot.block for slot in slots(tmp_path)} == {0, 1}
    backend = fit_profile(tmp_path, now=NOW).backends[0]
    assert not {"precision-not-reached", "incomplete-sweep"} & set(backend.reasons)


def test_an_arm_that_never_is_stops_at_the_most_and_is_flagged(tmp_path: Path) -> None:
    run_sweep(FakeInstalledRunner(noise=0.5), ARMS, tmp_path, **NOISY)

    assert max(slot.block for slot in slots(tmp_path)) == 4
    backend = fit_profile(tmp_path, now=NOW).backends[0]
    assert "precision-not-reached" in backend.reasons
    assert "incomplete-sweep" not in backend.reasons


class RepeatableRunner(FakeInstalledRunner):
    """Times depend on the job alone, so that an interrupted sweep measures the same."""

    def run(self, *, name: str | None = None, **job: object) -> list:
        self._generator = np.random.default_rng(int(str(name).split("-")[-1]))
        return super().run(name=name, **job)


@pytest.mark.parametrize("dropped", [5, 8, 10])
def test_a_sweep_that_was_cut_off_decides_the_same(tmp_path: Path, dropped: int) -> None:
    noisy = {"noise": 0.2}
    with pytest.raises(IncompleteRunError):
        run_sweep(RepeatableRunner(**noisy, drop_out_at=dropped), ARMS, tmp_path / "cut", **NOISY)
    run_sweep(RepeatableRunner(**noisy), ARMS, tmp_path / "cut", **NOISY)
    run_sweep(RepeatableRunner(**noisy), ARMS, tmp_path / "whole", **NOISY)

    assert slots(tmp_path / "cut") == slots(tmp_path / "whole")
    assert len(slots(tmp_path / "whole")) < 5 * len(ARMS)


def test_what_is_left_is_between_the_least_and_the_most(tmp_path: Path) -> None:
    settings = plan(blocks=2, most_blocks=5, precision=0.05)

    assert jobs_left(settings, []) == dict.fromkeys(ARMS, (2, 5))
    with pytest.raises(IncompleteRunError):
        run_sweep(FakeInstalledRunner(drop_out_at=3, noise=0.5), ARMS, tmp_path, **NOISY)
    left = jobs_left(settings, measured(tmp_path))
    assert sorted(left.values()) == [(1, 4)] * 3 + [(2, 5)]
    assert least_left(settings, measured(tmp_path)) == 5
