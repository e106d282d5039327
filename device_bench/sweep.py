"""Measuring a sweep on one device, into a SAMPLES folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

from android_harness.job import STANDARD_WARMUP, PrefixPolicy, TimeTask, Warmup
from android_harness.records import HelloRecord, Record
from android_harness.runs.installed_runner import InstalledRunner
from device_bench.errors import SweepMismatchError, SweepSettingsError
from device_bench.examples import RandomExamples
from device_bench.operators import OPERATORS_NAME, measure_operators, refuse_without_operators
from device_bench.plan import Arm, LossPositions, SweepPlan, arms_of, sweep_plan
from device_bench.program_sizes import refuse_arms_without_program
from device_bench.provenance import Sweep
from device_bench.samples import (
    EXAMPLES_NAME,
    SAMPLES_NAME,
    SWEEP_NAME,
    TABLE_NAME,
    Measurement,
    append_measurement,
    drop_torn_line,
    read_measurements,
    samples_folder,
    samples_table,
)
from device_bench.slopes import SLOPES_NAME, measure_slopes
from exporters.durable_files import replaced_atomically
from exporters.lora.request import layers_text
from exporters.lora.support import Support

__all__ = ["Arm", "arms_of", "run_sweep"]

_FLOAT16_BYTES = 2


def run_sweep(
    installed: InstalledRunner,
    arms: Sequence[Arm],
    out_folder: Path,
    *,
    threads: int,
    cpu_mask: str | None = None,
    warmup: Warmup = STANDARD_WARMUP,
    repetitions: int = 3,
    minimum_ms: int = 100,
    blocks: int = 3,
    epsilon: float = 1e-3,
    seed: int = 0,
    loss_positions: LossPositions = "last",
    profile_operators: bool = False,
    timeout_s: float | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
    conditions: AbstractContextManager[object] | None = None,
) -> Sweep:
    """Times every arm `blocks` times, in random order, and writes the SAMPLES folder.

    Each (arm, block) is a job of its own. That pays for loading the model every time, and buys a
    peak memory that belongs to the arm alone, and the loss of one job at most when a device drops
    out. Called again on the same folder it measures only what is missing, and takes up the job that
    a killed process left on the device.

    Where the bundle has exact slopes to compare with, the first job measures them by each
    estimator of the sweep (`slopes.py`).

    Args:
        warmup: what each job repeats before its repetitions count.
        repetitions: those that count of each job, so `blocks` times as many per arm.
        minimum_ms: how long a repetition lasts at least; it then holds several probes.
        epsilon: step of the probes; it does not change their cost.
        seed: of the order and of the token sequences.
        profile_operators: also time operators one by one, into operators.parquet.
        timeout_s: limit for each job.
        on_progress: called with (what is measured next, jobs done, jobs in all).
        conditions: entered once nothing speaks against the sweep and its folder is there, left
            when it ends, however it does: what holds on the device meanwhile.

    Raises:
        SweepSettingsError: a setting is out of range or does not fit the model and its LoRA.
        SweepMismatchError: the folder holds the samples of another sweep.
        DeviceError: a job failed; all finished jobs are kept.
    """
    plan = sweep_plan(
        arms=tuple(arms),
        threads=threads,
        cpu_mask=cpu_mask,
        warmup=warmup,
        repetitions=repetitions,
        minimum_ms=minimum_ms,
        blocks=blocks,
        epsilon=epsilon,
        seed=seed,
        loss_positions=loss_positions,
    )
    _refuse_layers_without_lora(plan.arms, installed.bundle.manifest.lora.layers)
    programs = installed.bundle.manifest.programs
    refuse_arms_without_program(plan.arms, programs)
    if profile_operators:
        refuse_without_operators(installed)
    examples = RandomExamples(plan.arms, installed.bundle.manifest.architecture)
    samples_folder(out_folder)
    sweep = _begin_or_resume(installed, plan, out_folder / SWEEP_NAME)
    with conditions or nullcontext():
        return _measure_missing(
            installed,
            sweep,
            examples,
            out_folder,
            profile_operators=profile_operators,
            timeout_s=timeout_s,
            report=on_progress or (lambda text, done, total: None),
        )


def _measure_missing(
    installed: InstalledRunner,
    sweep: Sweep,
    examples: RandomExamples,
    out_folder: Path,
    *,
    profile_operators: bool,
    timeout_s: float | None,
    report: Callable[[str, int, int], None],
) -> Sweep:
    plan = sweep.plan
    examples_path, samples_path = out_folder / EXAMPLES_NAME, out_folder / SAMPLES_NAME
    if not examples_path.exists():
        examples.write(examples_path, seed=plan.seed, loss_positions=plan.loss_positions)

    drop_torn_line(samples_path)
    finished = {measurement.slot for measurement in read_measurements(samples_path)}
    parity = installed.bundle.manifest.parity
    if parity and parity.reference and not (out_folder / SLOPES_NAME).exists():
        report("slopes beside exact ones", len(finished), len(sweep.order))
        records = measure_slopes(
            installed,
            parity,
            parity.reference,
            list(dict.fromkeys(arm.estimator for arm in plan.arms)),
            out_folder,
            threads=plan.threads,
            cpu_mask=plan.cpu_mask,
            timeout_s=timeout_s,
            name=f"{sweep.run_name}-slopes",
        )
        sweep = _with_hello(sweep, records, out_folder / SWEEP_NAME)
    for position, slot in enumerate(sweep.order):
        if slot in finished:
            continue
        arm = plan.arms[slot.arm]
        report(arm.label, len(finished), len(sweep.order))
        records = installed.run(
            examples=examples_path,
            tasks=[_timing(plan, arm, examples.lines_of(arm))],
            threads=plan.threads,
            cpu_mask=plan.cpu_mask,
            prefix=_prefix(arm, installed),
            timeout_s=timeout_s,
            name=f"{sweep.run_name}-{position}",
        )
        measurement = Measurement.from_records(
            records,
            slot=slot,
            position=position,
            arm=arm,
            repetitions=plan.repetitions,
            device=installed.target.name,
            measured_at=datetime.now(UTC),
        )
        append_measurement(samples_path, measurement)
        finished.add(slot)
        sweep = _with_hello(sweep, records, out_folder / SWEEP_NAME)

    if profile_operators and not (out_folder / OPERATORS_NAME).exists():
        measure_operators(
            installed,
            [(arm, _timing(plan, arm, examples.lines_of(arm))) for arm in plan.arms],
            out_folder,
            examples=examples_path,
            threads=plan.threads,
            cpu_mask=plan.cpu_mask,
            timeout_s=timeout_s,
            on_arm=lambda arm: report(f"operators: {arm.label}", len(finished), len(sweep.order)),
        )
    report("done", len(finished), len(sweep.order))
    measurements = read_measurements(samples_path)
    with replaced_atomically(out_folder / TABLE_NAME) as temporary:
        samples_table(sweep.target, measurements).to_parquet(temporary, index=False)
    if sweep.finished_at is None:
        sweep = sweep.model_copy(update={"finished_at": datetime.now(UTC)})
        sweep.write(out_folder / SWEEP_NAME)
    return sweep


def _refuse_layers_without_lora(arms: Sequence[Arm], adapted: Sequence[int]) -> None:
    for first, last in (arm.layers for arm in arms if arm.layers is not None):
        if not any(first <= layer <= last for layer in adapted):
            raise SweepSettingsError(
                f"no layer of {layers_text((first, last))} has LoRA",
                remedy=f"choose among the layers {adapted[0]} to {adapted[-1]}",
            )


def _timing(plan: SweepPlan, arm: Arm, lines: tuple[int, ...]) -> TimeTask:
    return TimeTask(
        batch=lines,
        estimator=arm.estimator,
        epsilon=plan.epsilon,
        directions_per_pass=arm.directions_per_pass,
        warmup=plan.warmup,
        repetitions=plan.repetitions,
        minimum_ns=plan.minimum_ms * 1_000_000,
        support=Support(layers=arm.layers),
    )


def _prefix(arm: Arm, installed: InstalledRunner) -> PrefixPolicy | None:
    """Room for what the layers below the arm's range compute of its whole batch.

    None where nothing can be kept: a program of ExecuTorch runs all layers, whichever move.
    """
    if arm.layers is None or installed.engine != "ggml":
        return None
    hidden_size = installed.bundle.manifest.architecture.hidden_size
    return PrefixPolicy(bytes=arm.batch * arm.tokens * hidden_size * _FLOAT16_BYTES)


def _begin_or_resume(installed: InstalledRunner, plan: SweepPlan, path: Path) -> Sweep:
    new = Sweep(
        target=installed.target.name,
        device=installed.facts,
        bundle_sha256=installed.bundle.sha256,
        runner_sha256=installed.runner_sha256,
        plan=plan,
        order=plan.shuffled(),
        hello=None,
        started_at=datetime.now(UTC),
        finished_at=None,
    )
    if not path.exists():
        new.write(path)
        return new
    old = Sweep.read(path)
    for field in ("target", "bundle_sha256", "runner_sha256"):
        _require_equal(field, getattr(old, field), getattr(new, field), path)
    for field in SweepPlan.model_fields:
        _require_equal(field, getattr(old.plan, field), getattr(new.plan, field), path)
    return old


def _require_equal(field: str, old: object, new: object, path: Path) -> None:
    if old != new:
        raise SweepMismatchError(
            f"the folder holds a sweep of another {field}",
            remedy="give another folder for the samples, or repeat the settings of the first run",
            file=path,
        )


def _with_hello(sweep: Sweep, records: Sequence[Record], path: Path) -> Sweep:
    """The sweep with the `hello` of its first job, written where it was not yet."""
    hello = next((record for record in records if isinstance(record, HelloRecord)), None)
    if sweep.hello is not None or hello is None:
        return sweep
    sweep = sweep.model_copy(update={"hello": hello})
    sweep.write(path)
    return sweep
