"""The gate before a sweep: backends that compute wrong numbers are not timed, right ones are."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from android_harness.errors import IncompleteRunError, RunnerFailedError
from device_bench.errors import NumericGateError
from device_bench.fitting.fit_profile import fit_profile
from device_bench.numerics.contract import NumericEvidence
from device_bench.numerics.measure import most_passes
from device_bench.plans.sweep_plan import arms_of
from device_bench.profiles.profile import BackendProfile
from device_bench.samples.provenance import Sweep
from device_bench.samples.samples_folder import read_measurements
from device_bench.sweeps.sweep import run_sweep
from exporters.errors import ContractError
from tests.device_bench.fake_numbers import FakeNumbers
from tests.device_bench.fake_timing_runner import EXACT, PARITY, REFERENCE, FakeInstalledRunner

ARMS = arms_of([1], [16, 64], [1, 8], ["central", "forward", "tangent"], placements=[(2, "0x3")])
JOBS = 6 * len(ARMS)


def runner_with(**numbers: object) -> FakeInstalledRunner:
    return FakeInstalledRunner(parity=PARITY, numbers=FakeNumbers(exact=EXACT, **numbers))


def measure(runner: FakeInstalledRunner, folder: Path, **settings: object) -> Sweep:
    return run_sweep(runner, ARMS, folder, **settings)


def evidence_in(folder: Path) -> NumericEvidence:
    return NumericEvidence.read(folder / "numerics.json")


def profiled(folder: Path) -> BackendProfile:
    (backend,) = fit_profile(folder, now=datetime.now(UTC)).backends
    return backend


def refused(runner: FakeInstalledRunner, folder: Path, match: str) -> NumericGateError:
    """The error, and that nothing was timed; timed anyway, the profile is invalid."""
    with pytest.raises(NumericGateError, match=match) as caught:
        measure(runner, folder)
    assert runner.jobs == [] and read_measurements(folder / "samples.jsonl") == []
    assert "--time-anyway" in caught.value.remedy
    gate_jobs = len(runner.gate_jobs)
    measure(runner, folder, time_anyway=True)
    assert (len(runner.jobs), len(runner.gate_jobs)) == (JOBS, gate_jobs)
    assert profiled(folder).verdict == "invalid"
    return caught.value


# Backends that pass -------------------------------------------------------------------------


def test_a_right_backend_is_timed_at_the_calibrated_steps(tmp_path: Path) -> None:
    runner = runner_with(rounding=1e-5, curvature=3.0, third=20.0)

    measure(runner, tmp_path)

    backend = profiled(tmp_path)
    assert backend.numerics is not None and backend.numerics.loss_as_exported
    assert "slopes-are-noise" not in backend.reasons
    best = {"central": (3e-5 / 20) ** (1 / 3), "forward": (2 * math.sqrt(2) * 1e-5 / 3) ** 0.5}
    for estimator, epsilon in best.items():
        found = backend.numerics.of(estimator)
        assert found is not None and found.epsilon == pytest.approx(epsilon, rel=1)
        assert found.usable and found.noise_from == "exact slopes"
        timed = [j.tasks[0] for j in runner.jobs if j.tasks[0].estimator == estimator]
        assert {task.epsilon for task in timed} == {found.epsilon}
    tangent = backend.numerics.of("tangent")
    assert tangent is not None and (tangent.epsilon, tangent.noise) == (None, 0)
    assert tangent.usable and tangent.signal_to_noise is None


def test_the_questions_are_those_that_the_export_has_answered(tmp_path: Path) -> None:
    runner = runner_with()

    sweep = measure(runner, tmp_path)

    for job in runner.gate_jobs:
        assert (job.threads, job.cpu_mask, job.prefix) == (2, "0x3", None)
        lines = [json.loads(line) for line in Path(job.examples).read_text().splitlines()]
        assert [line["tokens"] for line in lines] == [[1, 2, 3], [5, 6, 7]]
        assert [line["targets"] for line in lines] == [[2, 3, 4], [6, 7, 8]]
        assert {task.batch for task in job.tasks} == {(0, 1)}
    evidence = evidence_in(tmp_path)
    assert (evidence.directions, evidence.exact) == (REFERENCE.directions, REFERENCE.slopes)
    assert (evidence.exported_loss, evidence.reference_loss) == (6.0, 6.0)
    assert [len(losses) for losses in evidence.losses] == [2, 1]
    assert {len(each.again) for each in evidence.measured} == {2}
    assert sweep.hello is not None


def test_no_more_passes_are_taken_than_are_told_before(tmp_path: Path) -> None:
    told: list[str] = []

    measure(runner_with(), tmp_path, on_progress=lambda text, *_: told.append(text))

    most = most_passes(["central", "forward", "tangent"], len(REFERENCE.directions))
    assert f"at most {most} passes of 6 tokens" in told[0]
    assert most / 2 < evidence_in(tmp_path).passes <= most


def test_tangents_alone_need_no_steps(tmp_path: Path) -> None:
    runner = runner_with()

    run_sweep(runner, arms_of([1], [16], [8], ["tangent"]), tmp_path)

    evidence = evidence_in(tmp_path)
    assert evidence.steps == () and len(runner.gate_jobs) == 3
    assert evidence.passes <= most_passes(["tangent"], len(REFERENCE.directions))


NO_REFERENCE = PARITY.model_copy(update={"reference": None})


@pytest.mark.parametrize("parity", [None, NO_REFERENCE])
@pytest.mark.parametrize(
    ("estimators", "sources"),
    [
        (["central", "forward", "tangent"], {"another estimator"}),
        (["central", "forward"], {"steps"}),
        (["tangent"], {"repetition"}),
    ],
)
def test_without_exact_slopes_noise_is_told_by_what_there_is(
    tmp_path: Path, parity: object, estimators: list[str], sources: set[str]
) -> None:
    runner = FakeInstalledRunner(parity=parity, numbers=FakeNumbers(rounding=1e-4))

    run_sweep(runner, arms_of([1], [16], [1, 8], estimators), tmp_path)

    evidence, backend = evidence_in(tmp_path), profiled(tmp_path)
    assert (evidence.exact, evidence.exported_loss) == (None, None)
    assert backend.slope_errors == () and backend.numerics is not None
    assert backend.numerics.loss_as_exported and backend.numerics.loss_difference is None
    assert {each.noise_from for each in backend.numerics.estimators} == sources
    true = [runner.numbers.slope(seed) for seed in evidence.directions]
    for each in backend.numerics.estimators:
        assert each.usable
        assert each.signal == pytest.approx(math.sqrt(sum(s * s for s in true) / 8), rel=0.2)


def test_tangents_that_differences_contradict_are_noise(tmp_path: Path) -> None:
    errors = {"central": 0.0, "tangent": 3.0}
    runner = FakeInstalledRunner(numbers=FakeNumbers(relative_errors=errors))

    with pytest.raises(NumericGateError, match="its slopes are noise"):
        run_sweep(runner, arms_of([1], [16], [1], ["central", "tangent"]), tmp_path)


def test_a_loss_that_differs_each_time_is_told(tmp_path: Path) -> None:
    measure(runner_with(unsteady=0.01), tmp_path)

    numerics = profiled(tmp_path).numerics
    assert numerics is not None and numerics.loss_as_exported
    assert 0.001 < numerics.loss_repeatability < 0.03  # of three losses
    central = numerics.of("central")
    assert central is not None and central.repeat_noise > 0


# Backends that do not -----------------------------------------------------------------------


def test_zeros_everywhere_are_another_loss(tmp_path: Path) -> None:
    runner = runner_with(loss=0.0, scale=0.0, rounding=0.0)
    error = refused(runner, tmp_path, "its loss is 0, off by 6 from the export's")
    assert error.file == tmp_path / "numerics.json"
    reasons = profiled(tmp_path).reasons
    assert "loss-not-as-exported" in reasons and "slopes-are-noise" in reasons


def test_a_biased_loss_is_another_loss(tmp_path: Path) -> None:
    refused(runner_with(loss=6.5), tmp_path, "its loss is 6.5, off by 0.5")
    assert "loss-not-as-exported" in profiled(tmp_path).reasons
    assert "slopes-are-noise" not in profiled(tmp_path).reasons


def test_rounding_as_strong_as_the_exports_is_the_same_loss(tmp_path: Path) -> None:
    quantized = PARITY.model_copy(update={"artifact_loss": 6.5})
    numbers = FakeNumbers(exact=EXACT, loss=6.9)

    measure(FakeInstalledRunner(parity=quantized, numbers=numbers), tmp_path)

    numerics = profiled(tmp_path).numerics
    assert numerics is not None and numerics.loss_as_exported
    assert numerics.loss_difference == pytest.approx(0.4, abs=1e-4)


def test_a_loss_that_is_no_number_is_no_loss(tmp_path: Path) -> None:
    refused(runner_with(loss=math.nan), tmp_path, "a number is not finite")
    assert evidence_in(tmp_path).losses == ()
    assert "loss-not-as-exported" in profiled(tmp_path).reasons


def test_a_runner_that_says_so_itself_is_believed(tmp_path: Path) -> None:
    class HonestRunner(FakeInstalledRunner):
        def run(self, **job: object) -> list:
            if not any(task.kind == "time" for task in job["tasks"]):
                self.gate_jobs.append(job)
                raise RunnerFailedError(
                    "the loss is not finite", device="adb:FAKE", phase="compute", file=None
                )
            return super().run(**job)

    refused(HonestRunner(parity=PARITY), tmp_path, "the loss is not finite")


def test_zero_slopes_of_a_right_loss_are_noise(tmp_path: Path) -> None:
    refused(runner_with(scale=0.0, rounding=0.0), tmp_path, "slopes are noise")


@pytest.mark.parametrize("parity", [PARITY, None])
def test_slopes_between_rounding_and_curvature_with_no_room_are_noise(
    tmp_path: Path, parity: object
) -> None:
    # The least errors are some 4 (central) and 17 (forward); the slopes are 1.3.
    numbers = FakeNumbers(exact=EXACT, rounding=0.01, third=1e6, curvature=1e4)
    runner = FakeInstalledRunner(parity=parity, numbers=numbers)

    with pytest.raises(NumericGateError, match="its slopes are noise"):
        run_sweep(runner, arms_of([1], [16], [1], ["central", "forward"]), tmp_path)

    assert runner.jobs == []


def test_noise_alone_is_noise(tmp_path: Path) -> None:
    numbers = FakeNumbers(rounding=0.01, scale=0.0)

    with pytest.raises(NumericGateError, match="its slopes are noise"):
        run_sweep(
            FakeInstalledRunner(numbers=numbers), arms_of([1], [16], [1], ["central"]), tmp_path
        )


def test_one_estimator_of_noise_among_others_is_named_and_timed(tmp_path: Path) -> None:
    errors = {"central": 1.5, "forward": 0.25, "tangent": 0.125}

    measure(runner_with(relative_errors=errors), tmp_path)

    backend = profiled(tmp_path)
    assert backend.is_noise("central")
    assert not backend.is_noise("forward") and not backend.is_noise("tangent")
    assert "slopes-are-noise" not in backend.reasons


# Interruptions ------------------------------------------------------------------------------


def test_the_gate_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(IncompleteRunError):
        measure(FakeInstalledRunner(parity=PARITY, drop_out_at=2), tmp_path)
    before = evidence_in(tmp_path)
    runner = runner_with()

    measure(runner, tmp_path)

    assert runner.gate_jobs == [] and len(runner.jobs) == JOBS - 2
    assert evidence_in(tmp_path) == before
    timed = {job.tasks[0].estimator: job.tasks[0].epsilon for job in runner.jobs}
    assert timed["central"] == before.epsilon_of("central")


def test_a_backend_that_was_refused_and_mended_is_asked_again(tmp_path: Path) -> None:
    with pytest.raises(NumericGateError):
        measure(runner_with(loss=0.0), tmp_path)
    mended = runner_with()

    measure(mended, tmp_path)

    assert mended.gate_jobs and len(mended.jobs) == JOBS
    assert "loss-not-as-exported" not in profiled(tmp_path).reasons


@pytest.mark.parametrize("job", [0, 3])
def test_a_device_that_goes_away_leaves_no_half_evidence(tmp_path: Path, job: int) -> None:
    with pytest.raises(IncompleteRunError):
        measure(FakeInstalledRunner(parity=PARITY, drop_out_in_gate_at=job), tmp_path)
    assert not (tmp_path / "numerics.json").exists()

    measure(runner_with(), tmp_path)

    assert evidence_in(tmp_path).measured


def test_a_missing_answer_is_no_evidence(tmp_path: Path) -> None:
    class ForgetfulRunner(FakeInstalledRunner):
        def run(self, **job: object) -> list:
            records = super().run(**job)
            return [r for r in records if getattr(r, "direction", None) != REFERENCE.directions[1]]

    with pytest.raises(IncompleteRunError, match="2 of 3 answers"):
        measure(ForgetfulRunner(parity=PARITY), tmp_path)

    assert not (tmp_path / "numerics.json").exists()


def test_a_slope_too_few_is_refused(tmp_path: Path) -> None:
    measure(runner_with(), tmp_path)
    content = json.loads((tmp_path / "numerics.json").read_text())
    content["measured"][1]["slopes"].pop()
    (tmp_path / "numerics.json").write_text(json.dumps(content))

    with pytest.raises(ContractError, match="2 slopes for 3 directions"):
        evidence_in(tmp_path)
