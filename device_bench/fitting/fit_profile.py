"""From a SAMPLES folder to the capability profile of its device."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from android_harness.telemetry.trace import NO_TRACE, Trace
from device_bench.costs.cost_model import CostModel, determined, fit_cost_model
from device_bench.costs.memory_model import MemoryModel, fit_memory_model
from device_bench.costs.work import ModelShape
from device_bench.errors import SamplesError
from device_bench.fitting.arm_energy import ArmEnergy, arm_energies
from device_bench.fitting.energy_model import fit_energy_model
from device_bench.fitting.sustained_curve import fit_sustained
from device_bench.fitting.verdict import LIFETIME, Evidence, judge
from device_bench.numerics.contract import NumericEvidence
from device_bench.numerics.judge import judge_numerics, slope_errors
from device_bench.numerics.measure import NUMERICS_NAME
from device_bench.plans.sweep_plan import Arm, cores_in
from device_bench.policies.evidence import job_evidence
from device_bench.policies.row_findings import reasons_of, row_findings
from device_bench.profiles.profile import (
    ArmSummary,
    BackendProfile,
    Comparison,
    Interval,
    Profile,
    RowFinding,
)
from device_bench.samples.measurement import Measurement
from device_bench.samples.outstanding import least_left
from device_bench.samples.placement import compare_placements, on_placement
from device_bench.samples.provenance import Sweep
from device_bench.samples.samples_folder import (
    SAMPLES_NAME,
    SWEEP_NAME,
    read_measurements,
    read_telemetry,
)
from device_bench.samples.stop_rule import StopRule, job_median
from device_bench.samples.sustained import longest_run
from device_bench.statistics import summarise


def fit_profile(samples_folder: Path, *, now: datetime, beside: Sequence[Path] = ()) -> Profile:
    """Fits the profile of the one device that the folder's sweep measured.

    An interrupted sweep gives a profile of what it measured, which says that it is incomplete.
    The profile expires `LIFETIME` after its newest sample, whenever it is fitted.

    Args:
        samples_folder: what `run_sweep` wrote.
        now: time-zone aware; samples that have expired by then make the profile suspect.
        beside: samples of other bundles on the same device, to be shown side by side.

    Raises:
        ContractError: the folder's sweep.json is missing, or it or numerics.json is malformed.
        SamplesError: a line of the samples is damaged, there are none, or those beside are of
            another device.
    """
    fitted = _fitted(samples_folder, now)
    others = [_fitted(folder, now) for folder in beside]
    for folder, other in zip(beside, others, strict=True):
        if other.target != fitted.target:
            raise SamplesError(
                f"these are samples of {other.target}, not of {fitted.target}",
                remedy="make a profile for each device",
                file=folder,
            )
    comparisons = (
        Comparison(
            bundle_sha256=other.bundle_sha256,
            runner_sha256=other.runner_sha256,
            backends=other.backends,
        )
        for other in others
    )
    return fitted.model_copy(update={"beside": tuple(comparisons)})


def _fitted(samples_folder: Path, now: datetime) -> Profile:
    sweep = Sweep.read(samples_folder / SWEEP_NAME)
    measurements = read_measurements(samples_folder / SAMPLES_NAME)
    if not measurements:
        raise SamplesError(
            "the sweep has no finished measurement to fit a profile from",
            remedy="run the same fwdllm bench command again, it resumes",
            file=samples_folder / SAMPLES_NAME,
        )
    by_backend: dict[str, list[Measurement]] = defaultdict(list)
    for measurement in measurements:
        by_backend[measurement.backend].append(measurement)
    measured_at = max(measurement.measured_at for measurement in measurements)
    numerics_path = samples_folder / NUMERICS_NAME
    numerics = NumericEvidence.read(numerics_path) if numerics_path.exists() else None
    trace = read_telemetry(samples_folder)
    return Profile(
        target=sweep.target,
        device=sweep.device,
        backends=tuple(
            _backend_profile(
                sweep,
                name,
                by_backend[name],
                numerics if numerics is not None and numerics.is_of(name) else None,
                arm_energies(trace, by_backend[name]),
                trace or NO_TRACE,
                longest_run(samples_folder, backend=name),
                now,
            )
            for name in sorted(by_backend)
        ),
        bundle_sha256=sweep.bundle_sha256,
        runner_sha256=sweep.runner_sha256,
        measured_at=measured_at,
        expires_at=measured_at + LIFETIME,
    )


def _backend_profile(
    sweep: Sweep,
    backend: str,
    measurements: Sequence[Measurement],
    evidence: NumericEvidence | None,
    energies: Mapping[Arm, ArmEnergy],
    trace: Trace,
    long_run: Measurement | None,
    now: datetime,
) -> BackendProfile:
    placements = compare_placements(measurements)
    chosen = placements[0]
    by_arm: dict[Arm, list[Measurement]] = defaultdict(list)
    for measurement in on_placement(measurements, chosen):
        by_arm[measurement.arm].append(measurement)
    arms = [arm for arm in sweep.plan.arms if arm in by_arm]
    findings = row_findings(job_evidence(measurements, trace))
    summaries = tuple(_arm_summary(arm, by_arm[arm], energies[arm], findings[arm]) for arm in arms)
    sustained = None
    if long_run is not None:
        bursts = [each for each in measurements if each.arm == long_run.arm]
        sustained = fit_sustained(long_run, bursts, trace) if bursts else None
    cost, memory = _models(sweep.shape, summaries, tangents=False)
    tangent_cost, tangent_memory = _models(sweep.shape, summaries, tangents=True)
    costs = [model for model in (cost, tangent_cost) if model is not None]
    errors = [model.median_relative_error for model in costs]
    numerics = judge_numerics(evidence) if evidence is not None else None
    verdict, reasons = judge(
        Evidence(
            arms=summaries,
            jobs_planned=len(measurements) + least_left(sweep.plan, measurements),
            jobs_measured=len(measurements),
            cost_error=max((error for error in errors if error is not None), default=None),
            cost_determined=bool(costs) and all(determined(model) for model in costs),
            age=now - max(measurement.measured_at for measurement in measurements),
            cores=cores_in(chosen.cpu_mask) or sweep.device.cpu_count,
            imprecise_arms=sum(_imprecise(sweep, by_arm[arm]) for arm in arms),
            numerics=numerics,
            sustained=sustained,
            unsettled_share=max(_unsettled_share(by_arm[arm]) for arm in arms),
        )
    )
    return BackendProfile(
        backend=backend,
        cost=cost,
        cost_provenance="measured",
        arms=summaries,
        peak_memory_bytes=max(summary.peak_memory_bytes for summary in summaries),
        verdict=verdict,
        reasons=reasons,
        sustained_factor=None if sustained is None else sustained.factor,
        sustained=sustained,
        tangent_cost=tangent_cost,
        load_seconds=Interval.of_median(
            [measurement.load_wall_ns / 1e9 for measurement in measurements]
        ),
        slope_errors=slope_errors(evidence) if evidence is not None else (),
        numerics=numerics,
        shape=sweep.shape,
        memory=memory,
        tangent_memory=tangent_memory,
        energy=fit_energy_model(summaries),
        placements=placements,
    )


def _imprecise(sweep: Sweep, measurements: Sequence[Measurement]) -> bool:
    return StopRule.of(sweep.plan).missed([job_median(each) for each in measurements])


def _models(
    shape: ModelShape, summaries: Sequence[ArmSummary], *, tangents: bool
) -> tuple[CostModel | None, MemoryModel | None]:
    """Of the arms that are tangents, or of those that are not; None without any."""
    arms = {
        arm.setting: arm
        for arm in summaries
        if (arm.estimator == "tangent") == tangents and shape.work(arm.setting) is not None
    }
    if not arms:
        return None, None
    seconds = [arm.seconds_per_probe.value for arm in arms.values()]
    peaks = [arm.peak_memory_bytes for arm in arms.values()]
    return (
        fit_cost_model(shape, list(arms), seconds),
        fit_memory_model(shape, list(arms), peaks),
    )


def _arm_summary(
    arm: Arm,
    measurements: Sequence[Measurement],
    energy: ArmEnergy,
    findings: tuple[RowFinding, ...],
) -> ArmSummary:
    seconds = [value for measurement in measurements for value in measurement.steady_seconds]
    of_jobs = Interval.of_median([job_median(measurement) for measurement in measurements])
    first = [value for measurement in measurements for value in measurement.seconds_of("first")]
    summary = summarise(seconds)
    return ArmSummary(
        batch=arm.batch,
        tokens=arm.tokens,
        directions_per_pass=arm.directions_per_pass,
        estimator=arm.estimator,
        threads=measurements[0].threads,
        repetitions=summary.n,
        jobs=len(measurements),
        seconds_per_probe=of_jobs,
        relative_spread=summary.relative_spread,
        outliers=len(summary.outliers),
        peak_memory_bytes=max(measurement.vm_hwm_bytes for measurement in measurements),
        provenance="measured",
        layers=arm.layers,
        joules_per_probe=energy.joules_per_probe,
        reasons=reasons_of(findings),
        findings=findings,
        first_seconds=Interval.of_median(first) if first else None,
    )


def _unsettled_share(measurements: Sequence[Measurement]) -> float:
    unsettled = sum(not measurement.warmup_settled for measurement in measurements)
    return unsettled / len(measurements)
