"""The numeric gate of a sweep: what a backend computes, before it is timed; or that it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from android_harness.records import Record
from android_harness.runs.installed_runner import InstalledRunner
from device_bench.errors import NumericGateError
from device_bench.fitting.verdict import LOSS_NOT_AS_EXPORTED, SLOPES_ARE_NOISE
from device_bench.numerics.contract import EstimatorNumerics, NumericEvidence, Numerics
from device_bench.numerics.judge import judge_numerics
from device_bench.numerics.measure import NUMERICS_NAME, measure_numerics
from device_bench.numerics.questions import exported_questions, random_questions
from device_bench.plans.examples import RandomExamples
from device_bench.plans.sweep_plan import SweepPlan
from device_bench.samples.samples_folder import EXAMPLES_NAME


def numeric_evidence(
    installed: InstalledRunner,
    plan: SweepPlan,
    examples: RandomExamples,
    folder: Path,
    *,
    final: bool,
    timeout_s: float | None,
    run_name: str,
    report: Callable[[str], None],
) -> tuple[NumericEvidence, list[Record]]:
    """What numerics.json of a SAMPLES folder says, or what is measured and written there.

    What was refused is asked again, since its cause may be mended, unless what is there is `final`.
    Without answers in the bundle, the questions are the plan's smallest arm. All jobs are on the
    threads and cores of its first.

    Args:
        examples: those of the sweep, in the folder.
        final: jobs were timed with what is there, or will be whatever it says.
        timeout_s: limit for each job.
        run_name: how the names of the jobs on the device begin.
        report: called before each job with what it is for.

    Returns:
        The evidence, and the records of the first job; none where nothing was asked.

    Raises:
        ContractError: the file is malformed.
        DeviceError: a job failed.
    """
    path = folder / NUMERICS_NAME
    if path.exists():
        known = NumericEvidence.read(path)
        if final or _passes(judge_numerics(known)):
            return known, []
    smallest = min(plan.arms, key=lambda arm: arm.batch * arm.tokens)
    questions = exported_questions(installed.bundle.manifest, folder) or random_questions(
        folder / EXAMPLES_NAME,
        examples.lines_of(smallest),
        smallest.batch * smallest.tokens,
        plan.seed,
    )
    evidence, records = measure_numerics(
        installed,
        questions,
        list(dict.fromkeys(arm.estimator for arm in plan.arms)),
        threads=plan.arms[0].threads,
        cpu_mask=plan.arms[0].cpu_mask,
        timeout_s=timeout_s,
        run_name=run_name,
        report=report,
    )
    evidence.write(path)
    return evidence, records


def refuse_wrong_numbers(evidence: NumericEvidence, device: str, folder: Path) -> None:
    """Lets a backend pass whose loss is as exported and some of whose slopes are signal.

    Args:
        folder: with the evidence, for the message.

    Raises:
        NumericGateError: any other.
    """
    numerics = judge_numerics(evidence)
    if not numerics.loss_as_exported:
        raise NumericGateError(
            f"{device} failed the numeric gate: {_loss_text(numerics)}",
            remedy=LOSS_NOT_AS_EXPORTED.remedy,
            file=folder / NUMERICS_NAME,
        )
    if numerics.slopes_are_noise:
        found = "; ".join(_noise_text(each) for each in numerics.estimators)
        raise NumericGateError(
            f"{device} failed the numeric gate: its slopes are noise ({found})",
            remedy=SLOPES_ARE_NOISE.remedy,
            file=folder / NUMERICS_NAME,
        )


def _passes(numerics: Numerics) -> bool:
    return numerics.loss_as_exported and not numerics.slopes_are_noise


def _loss_text(numerics: Numerics) -> str:
    if numerics.failure is not None:
        return numerics.failure
    if numerics.loss is None or numerics.loss_difference is None:
        return f"its loss is {numerics.loss}"
    return (
        f"its loss is {numerics.loss:.5g}, off by {numerics.loss_difference:.2g} from the "
        f"export's, where {numerics.loss_tolerance:.2g} are allowed"
    )


def _noise_text(found: EstimatorNumerics) -> str:
    step = "" if found.epsilon is None else f" at ε {found.epsilon:.2g}"
    return f"{found.estimator}{step}: signal {found.signal:.2g}, noise {found.noise:.2g}"
