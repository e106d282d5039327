"""Measuring sweeps on one device, each into a SAMPLES folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from android_harness.job import STANDARD_WARMUP, Warmup
from android_harness.runs.installed_runner import InstalledRunner
from device_bench.conditions.job_boundaries import JobBoundaries
from device_bench.costs.setting import LossPositions
from device_bench.plans.sweep_plan import Arm, sweep_plan
from device_bench.samples.provenance import Sweep
from device_bench.samples.sustained import LongRun, long_run_left
from device_bench.samples.time_left import TimeLeft, all_left
from device_bench.sweeps.bundle_sweep import BundleSweep
from device_bench.sweeps.interleaving import interleaved

# Called with what is measured next, the jobs that are done, and what is left.
OnProgress = Callable[[str, int, TimeLeft], None]


def run_sweeps(
    sweeps: Sequence[BundleSweep],
    *,
    time_anyway: bool = False,
    boundaries: JobBoundaries | None = None,
    long_run: LongRun | None = None,
    on_progress: OnProgress | None = None,
    conditions: AbstractContextManager[object] | None = None,
) -> list[Sweep]:
    """Measures what is missing of all these sweeps of one device, their jobs interleaved.

    Each begins with its numeric gate (`numerics/`): nothing is timed unless all of them pass.

    Args:
        time_anyway: time also what computes something else than was exported, or noise.
        boundaries: what is asked and waited for between jobs; None: the default gate.
        long_run: also run an arm of each sweep for so long, at the end.
        on_progress: called before each job, and at the end.
        conditions: entered once nothing speaks against the sweeps and their folders are there,
            left when they end, however they do: what holds on the device meanwhile.

    Raises:
        SweepSettingsError: a sweep has no such arm as is to run for long.
        SweepMismatchError: a folder holds the samples of another sweep.
        NumericGateError: a backend's loss is wrong, or all its slopes are noise.
        DeviceError: a job failed; all finished jobs are kept.
    """
    if long_run is not None:
        for sweep in sweeps:
            long_run.refuse_unless_among(sweep.plan.arms)
    for sweep in sweeps:
        sweep.begin()

    def report(text: str) -> None:
        if on_progress is not None:
            done = sum(len(sweep.measurements) for sweep in sweeps)
            left = [
                part
                for sweep in sweeps
                for part in (sweep.left, long_run_left(long_run, sweep.folder))
            ]
            on_progress(text, done, all_left(left))

    runner = sweeps[0].installed
    boundaries = boundaries or JobBoundaries(
        runner.target, runner.facts, patience_s=runner.patience_s
    )
    earlier = [each for sweep in sweeps for each in sweep.measurements]
    if earlier:
        boundaries.resume(min(earlier, key=lambda each: each.measured_at).conditions)

    with conditions or nullcontext():
        for sweep in sweeps:
            sweep.pass_numeric_gate(report, time_anyway=time_anyway)
        for sweep, slot in interleaved(sweeps):
            report(sweep.plan.arms[slot.arm].label)
            sweep.measure(slot, boundaries)
        for sweep in sweeps:
            sweep.measure_operators(lambda arm: report(f"operators: {arm.label}"))
        if long_run is not None:
            asked = f"{long_run.minutes:g} minutes on end"
            for sweep in sweeps:
                sweep.measure_long_run(
                    long_run, boundaries, lambda arm: report(f"{asked}: {arm.label}")
                )
        report("done")
        return [sweep.finish() for sweep in sweeps]


def run_sweep(
    installed: InstalledRunner,
    arms: Sequence[Arm],
    out_folder: Path,
    *,
    warmup: Warmup = STANDARD_WARMUP,
    repetitions: int = 3,
    minimum_ms: int = 100,
    blocks: int = 6,
    most_blocks: int | None = None,
    precision: float | None = None,
    seed: int = 0,
    loss_positions: LossPositions = "last",
    profile_operators: bool = False,
    timeout_s: float | None = None,
    time_anyway: bool = False,
    boundaries: JobBoundaries | None = None,
    long_run: LongRun | None = None,
    on_progress: OnProgress | None = None,
    conditions: AbstractContextManager[object] | None = None,
) -> Sweep:
    """Times every arm in random order, and writes the SAMPLES folder.

    Called again on the same folder it measures only what is missing, and takes up the job that a
    killed process left on the device.

    Args:
        warmup: what each job repeats before its repetitions count.
        repetitions: of each job, those that count.
        minimum_ms: how long a repetition lasts at least; it then holds several probes.
        blocks: jobs of each arm, at least.
        most_blocks: jobs of an arm at most; None: as many as `blocks`.
        precision: when an arm needs no further jobs (`samples/stop_rule.py`); None: after
            `most_blocks`.
        seed: of the order and of the token sequences.
        profile_operators: also time operators one by one, into operators.parquet.
        timeout_s: limit for each job.
        time_anyway, boundaries, long_run, on_progress, conditions: as of `run_sweeps`.

    Raises:
        SweepSettingsError: a setting is out of range or does not fit the model and its LoRA.
        SweepMismatchError: the folder holds the samples of another sweep.
        NumericGateError: the backend's loss is wrong, or all its slopes are noise.
        DeviceError: a job failed; all finished jobs are kept.
    """
    plan = sweep_plan(
        arms=tuple(arms),
        warmup=warmup,
        repetitions=repetitions,
        minimum_ms=minimum_ms,
        blocks=blocks,
        most_blocks=blocks if most_blocks is None else most_blocks,
        precision=precision,
        seed=seed,
        loss_positions=loss_positions,
    )
    sweep = BundleSweep(
        installed, plan, out_folder, profile_operators=profile_operators, timeout_s=timeout_s
    )
    (done,) = run_sweeps(
        [sweep],
        time_anyway=time_anyway,
        boundaries=boundaries,
        long_run=long_run,
        on_progress=on_progress,
        conditions=conditions,
    )
    return done
