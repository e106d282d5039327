"""One bundle on one backend of a device: its part of a sweep, and the SAMPLES folder it fills."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from android_harness.job import NO_WARMUP, PrefixPolicy, TimeTask
from android_harness.records import HelloRecord, Record
from android_harness.runs.installed_runner import InstalledRunner
from device_bench.conditions.job_boundaries import JobBoundaries
from device_bench.numerics.contract import NumericEvidence
from device_bench.plans.examples import RandomExamples
from device_bench.plans.sweep_plan import Arm, Slot, SweepPlan
from device_bench.plans.unfit_arms import refuse_unfit_arms
from device_bench.samples.measurement import Measurement
from device_bench.samples.provenance import Sweep
from device_bench.samples.samples_folder import (
    EXAMPLES_NAME,
    SAMPLES_NAME,
    SUSTAINED_NAME,
    SWEEP_NAME,
    append_measurement,
    drop_torn_line,
    make_samples_folder,
    read_measurements,
)
from device_bench.samples.sustained import (
    POINT_MS,
    LongRun,
    long_run_timeout_s,
    longest_run,
    repetitions_for,
)
from device_bench.samples.table import TABLE_NAME, samples_table
from device_bench.samples.time_left import TimeLeft, time_left
from device_bench.sweeps.numeric_gate import numeric_evidence, refuse_wrong_numbers
from device_bench.sweeps.operators import (
    OPERATORS_NAME,
    measure_operators,
    refuse_without_operators,
)
from device_bench.sweeps.resuming import begin_or_resume
from exporters.durable_files import replaced_atomically
from exporters.lora.support import Support

_FLOAT16_BYTES = 2
_ANY_EPSILON = 1e-2  # of what has none or could not be calibrated; it does not change the cost


class BundleSweep:
    """The jobs of a plan, each on its own, in whatever order they are asked for.

    Each job is a process of its own. That pays for loading the model every time, and buys a peak
    memory that belongs to the arm alone, and the loss of one job at most when a device drops out.

    Attributes:
        installed: the bundle on its backend.
        plan: what is measured.
        folder: the SAMPLES folder.
        measurements: of the jobs that are done, in the order in which they were.

    Args:
        profile_operators: also time operators one by one, into operators.parquet.
        timeout_s: limit for each job.
        modelled: seconds of each arm's jobs, as far as known before it is measured.

    Raises:
        SweepSettingsError: a setting does not fit the model and its LoRA. Nothing is written.
    """

    def __init__(
        self,
        installed: InstalledRunner,
        plan: SweepPlan,
        folder: Path,
        *,
        profile_operators: bool = False,
        timeout_s: float | None = None,
        modelled: Mapping[Arm, float] = MappingProxyType({}),
    ) -> None:
        manifest = installed.bundle.manifest
        refuse_unfit_arms(plan.arms, manifest)
        if profile_operators:
            refuse_without_operators([installed.engine])
        self.installed = installed
        self.plan = plan
        self.folder = folder
        self.measurements: list[Measurement] = []
        self._examples = RandomExamples(plan.arms, manifest.architecture)
        self._profile_operators = profile_operators
        self._timeout_s = timeout_s
        self._modelled = modelled
        self._sweep: Sweep | None = None
        self._evidence: NumericEvidence | None = None

    @property
    def sweep(self) -> Sweep:
        """What sweep.json says; not before `begin`."""
        assert self._sweep is not None
        return self._sweep

    @property
    def left(self) -> TimeLeft:
        """What is to be measured still, and how long that takes."""
        return time_left(self.plan, self.measurements, self._modelled)

    def begin(self) -> None:
        """Makes the SAMPLES folder, or takes up the one that an interrupted sweep left.

        Raises:
            SweepMismatchError: the folder holds the samples of another sweep.
            SamplesError: its samples are damaged, or it is a file.
        """
        make_samples_folder(self.folder)
        self._sweep = begin_or_resume(self.installed, self.plan, self.folder / SWEEP_NAME)
        examples = self.folder / EXAMPLES_NAME
        if not examples.exists():
            positions = self.plan.loss_positions
            self._examples.write(examples, seed=self.plan.seed, loss_positions=positions)
        drop_torn_line(self.folder / SAMPLES_NAME)
        self.measurements = read_measurements(self.folder / SAMPLES_NAME)

    def pass_numeric_gate(
        self, report: Callable[[str], None], *, time_anyway: bool = False
    ) -> None:
        """Makes sure that the backend computes what was exported, before anything is timed.

        Args:
            report: called before each job with what it is for.
            time_anyway: go on with a backend that does not; its profile is invalid.

        Raises:
            NumericGateError: it does not.
            DeviceError: a job failed.
        """
        self._evidence, records = numeric_evidence(
            self.installed,
            self.plan,
            self._examples,
            self.folder,
            final=time_anyway or bool(self.measurements),
            timeout_s=self._timeout_s,
            run_name=self.sweep.run_name,
            report=report,
        )
        self._keep_hello(records)
        if not time_anyway:
            refuse_wrong_numbers(self._evidence, self.installed.target.name, self.folder)

    def measure(self, slot: Slot, boundaries: JobBoundaries) -> Measurement:
        """Runs the job, once the device is cool, and appends what it measured to the samples.

        Takes up the job where a killed process left it on the device.

        Raises:
            DeviceError: the job failed; nothing of it is kept.
        """
        position = self.sweep.order.index(slot)
        measurement = self._measured(
            slot,
            position,
            self._timing(self.plan.arms[slot.arm]),
            boundaries,
            timeout_s=self._timeout_s,
            name=f"{self.sweep.run_name}-{position}",
        )
        append_measurement(self.folder / SAMPLES_NAME, measurement)
        self.measurements.append(measurement)
        return measurement

    def measure_long_run(
        self, asked: LongRun, boundaries: JobBoundaries, on_begin: Callable[[Arm], None]
    ) -> None:
        """Runs one arm for minutes where no run as long is there yet; see `samples/sustained.py`.

        `on_begin` is called where there is something to measure.

        Raises:
            DeviceError: the job failed; nothing of it is kept.
        """
        arm = asked.choose(self.plan.arms, self.measurements)
        if longest_run(self.folder, arm=arm, seconds=60 * asked.minutes) is not None:
            return
        on_begin(arm)
        repetitions = repetitions_for(
            asked.minutes, [each for each in self.measurements if each.arm == arm]
        )
        changes = {
            "warmup": NO_WARMUP,  # it would be the coolest part of the run
            "repetitions": repetitions,
            "minimum_ns": POINT_MS * 1_000_000,
        }
        measurement = self._measured(
            Slot(block=0, arm=self.plan.arms.index(arm)),
            len(self.sweep.order),
            self._timing(arm).model_copy(update=changes),
            boundaries,
            timeout_s=long_run_timeout_s(self._timeout_s, asked.minutes),
            name=f"{self.sweep.run_name}-sustained",
        )
        path = self.folder / SUSTAINED_NAME
        drop_torn_line(path)
        append_measurement(path, measurement)

    def measure_operators(self, on_arm: Callable[[Arm], None]) -> None:
        """Times the operators of each arm where that was asked for and is not done yet.

        Raises:
            DeviceError: a job failed.
        """
        if not self._profile_operators or (self.folder / OPERATORS_NAME).exists():
            return
        measure_operators(
            self.installed,
            [(arm, self._timing(arm)) for arm in self.plan.arms],
            self.folder,
            examples=self.folder / EXAMPLES_NAME,
            timeout_s=self._timeout_s,
            on_arm=on_arm,
        )

    def finish(self) -> Sweep:
        """Writes the table of all samples, and into sweep.json that it is done."""
        with replaced_atomically(self.folder / TABLE_NAME) as temporary:
            table = samples_table(self.sweep.target, self.measurements)
            table.to_parquet(temporary, index=False)
        if self.sweep.finished_at is None:
            self._rewrite(finished_at=datetime.now(UTC))
        return self.sweep

    def _measured(
        self,
        slot: Slot,
        position: int,
        task: TimeTask,
        boundaries: JobBoundaries,
        *,
        timeout_s: float | None,
        name: str,
    ) -> Measurement:
        arm = self.plan.arms[slot.arm]
        passed = boundaries.before_job()
        asked_s = time.monotonic()
        records = self.installed.run(
            examples=self.folder / EXAMPLES_NAME,
            tasks=[task],
            threads=arm.threads,
            cpu_mask=arm.cpu_mask,
            prefix=_prefix(arm, self.installed),
            timeout_s=timeout_s,
            name=name,
        )
        host_seconds = time.monotonic() - asked_s
        self._keep_hello(records)
        return Measurement.from_records(
            records,
            slot=slot,
            position=position,
            arm=arm,
            repetitions=task.repetitions,
            device=self.installed.target.name,
            measured_at=datetime.now(UTC),
            host_seconds=host_seconds,
            conditions=boundaries.after_job(passed),
        )

    def _timing(self, arm: Arm) -> TimeTask:
        evidence = self._evidence
        calibrated = None if evidence is None else evidence.epsilon_of(arm.estimator)
        return TimeTask(
            batch=self._examples.lines_of(arm),
            estimator=arm.estimator,
            epsilon=calibrated or _ANY_EPSILON,
            directions_per_pass=arm.directions_per_pass,
            warmup=self.plan.warmup,
            repetitions=self.plan.repetitions,
            minimum_ns=self.plan.minimum_ms * 1_000_000,
            support=Support(layers=arm.layers),
        )

    def _keep_hello(self, records: Sequence[Record]) -> None:
        """Writes the `hello` of the first job into sweep.json."""
        hello = next((record for record in records if isinstance(record, HelloRecord)), None)
        if self.sweep.hello is None and hello is not None:
            self._rewrite(hello=hello)

    def _rewrite(self, **changes: object) -> None:
        self._sweep = self.sweep.model_copy(update=changes)
        self._sweep.write(self.folder / SWEEP_NAME)


def _prefix(arm: Arm, installed: InstalledRunner) -> PrefixPolicy | None:
    """Room for what the layers below the arm's range compute of its whole batch.

    None where nothing can be kept: a program of ExecuTorch runs all layers, whichever move.
    """
    if arm.layers is None or installed.engine != "ggml":
        return None
    hidden_size = installed.bundle.manifest.architecture.hidden_size
    return PrefixPolicy(bytes=arm.batch * arm.tokens * hidden_size * _FLOAT16_BYTES)
