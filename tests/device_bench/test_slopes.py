"""Slopes beside the exact ones of the bundle: measured once, over the very same questions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from android_harness.errors import IncompleteRunError
from device_bench.provenance import Sweep
from device_bench.slopes import EstimatorSlopes, SlopeComparison
from device_bench.sweep import arms_of, run_sweep
from exporters.errors import ContractError
from tests.device_bench.fake_timing_runner import PARITY, REFERENCE, FakeInstalledRunner

ARMS = arms_of(
    [1], [16, 64], [1, 8], ["central", "forward", "tangent"], [None, (4, 5)], [(2, "0x3")]
)
JOBS = 1 + 3 * len(ARMS)


def measure(runner: FakeInstalledRunner, folder: Path) -> Sweep:
    return run_sweep(runner, ARMS, folder)


def comparison(folder: Path) -> SlopeComparison:
    return SlopeComparison.read(folder / "slopes.json")


def test_one_job_measures_the_references_slopes_by_each_estimator(tmp_path: Path) -> None:
    runner = FakeInstalledRunner(parity=PARITY)

    sweep = measure(runner, tmp_path)

    assert len(runner.jobs) == JOBS
    job = runner.jobs[0]
    assert (job.threads, job.cpu_mask, job.prefix) == (2, "0x3", None)
    assert [task.estimator for task in job.tasks] == ["central", "forward", "tangent"]
    for task in job.tasks:
        assert task.kind == "probe" and task.directions == REFERENCE.directions
        assert task.epsilon == (None if task.estimator == "tangent" else PARITY.epsilon)
        assert task.support.layers is None and task.distribution == "rademacher"
        assert task.batch == (0, 1)
    lines = [json.loads(line) for line in Path(job.examples).read_text().splitlines()]
    assert [line["tokens"] for line in lines] == [[1, 2, 3], [5, 6, 7]]
    assert [line["targets"] for line in lines] == [[2, 3, 4], [6, 7, 8]]
    assert sweep.hello is not None

    kept = comparison(tmp_path)
    assert (kept.backend, kept.directions) == ("ggml-cpu", REFERENCE.directions)
    assert kept.exact == REFERENCE.slopes
    assert kept.measured[0] == EstimatorSlopes(
        estimator="central", epsilon=PARITY.epsilon, slopes=(1.125, -2.25, 0.5625)
    )


def test_they_are_not_measured_again(tmp_path: Path) -> None:
    measure(FakeInstalledRunner(parity=PARITY), tmp_path)
    runner = FakeInstalledRunner(parity=PARITY)

    measure(runner, tmp_path)

    assert runner.jobs == []


def test_a_sweep_goes_on_behind_its_slopes(tmp_path: Path) -> None:
    with pytest.raises(IncompleteRunError):
        measure(FakeInstalledRunner(parity=PARITY, drop_out_at=5), tmp_path)
    before = comparison(tmp_path)
    runner = FakeInstalledRunner(parity=PARITY)

    measure(runner, tmp_path)

    assert len(runner.jobs) == JOBS - 5
    assert comparison(tmp_path) == before


def test_a_device_that_goes_away_leaves_no_half_comparison(tmp_path: Path) -> None:
    with pytest.raises(IncompleteRunError):
        measure(FakeInstalledRunner(parity=PARITY, drop_out_at=0), tmp_path)
    assert not (tmp_path / "slopes.json").exists()
    runner = FakeInstalledRunner(parity=PARITY)

    measure(runner, tmp_path)

    assert len(runner.jobs) == JOBS
    assert len(comparison(tmp_path).measured) == 3


def test_a_missing_slope_is_no_comparison(tmp_path: Path) -> None:
    class ForgetfulRunner(FakeInstalledRunner):
        def run(self, **job: object) -> list:
            return [
                record
                for record in super().run(**job)
                if record.event != "probe" or record.direction != REFERENCE.directions[1]
            ]

    with pytest.raises(IncompleteRunError, match="6 of 9 slopes"):
        measure(ForgetfulRunner(parity=PARITY), tmp_path)

    assert not (tmp_path / "slopes.json").exists()


@pytest.mark.parametrize("parity", [None, PARITY.model_copy(update={"reference": None})])
def test_a_bundle_without_exact_slopes_is_not_asked_for_any(tmp_path: Path, parity: object) -> None:
    runner = FakeInstalledRunner(parity=parity)

    measure(runner, tmp_path)

    assert len(runner.jobs) == JOBS - 1
    assert not (tmp_path / "slopes.json").exists()


def test_the_error_is_relative_to_the_length_of_the_exact_slopes() -> None:
    compared = SlopeComparison(
        backend="ggml-cpu",
        directions=(1, 2),
        exact=(3.0, 4.0),
        measured=(EstimatorSlopes(estimator="tangent", epsilon=None, slopes=(3.0, 3.0)),),
    )

    (error,) = compared.errors()

    assert (error.estimator, error.epsilon, error.directions) == ("tangent", None, 2)
    assert error.relative_error == pytest.approx(1 / 5)


def test_slopes_that_ought_to_be_zero_have_no_relative_error() -> None:
    compared = SlopeComparison(
        backend="ggml-cpu",
        directions=(1,),
        exact=(0.0,),
        measured=(EstimatorSlopes(estimator="central", epsilon=0.01, slopes=(1e-9,)),),
    )

    assert compared.errors() == ()


def test_a_slope_too_few_is_refused(tmp_path: Path) -> None:
    measure(FakeInstalledRunner(parity=PARITY), tmp_path)
    content = json.loads((tmp_path / "slopes.json").read_text())
    content["measured"][1]["slopes"].pop()
    (tmp_path / "slopes.json").write_text(json.dumps(content))

    with pytest.raises(ContractError, match="2 slopes for 3 directions"):
        comparison(tmp_path)
