"""What one job of a sweep measured."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from android_harness.errors import IncompleteRunError
from android_harness.records import (
    LoadRecord,
    MemoryRecord,
    PaceRecord,
    Phase,
    Record,
    SampleRecord,
    WarmupRecord,
)
from device_bench.conditions.job_conditions import JobConditions
from device_bench.plans.sweep_plan import Arm, Slot
from exporters.contract import Part

# What computes on the device's cores, whose clocks and load it feels.
CPU_BACKENDS = ("ggml-cpu", "xnnpack")


class Sample(Part):
    """One repetition: `directions` probes in `passes` forward passes; device nanoseconds."""

    phase: Phase
    repetition: NonNegativeInt
    directions: PositiveInt
    passes: PositiveInt
    start_ns: NonNegativeInt
    wall_ns: PositiveInt
    cpu_ns: NonNegativeInt

    @property
    def seconds_per_probe(self) -> float:
        return self.wall_ns / self.directions / 1e9


class Measurement(Part):
    """What one job of a sweep measured: an arm in a block, in a process of its own."""

    slot: Slot
    position: NonNegativeInt  # of the job in the sweep's order
    arm: Arm
    backend: str
    threads: PositiveInt
    cpu_mask: str | None  # read back from the device's kernel
    load_wall_ns: PositiveInt
    load_cpu_ns: NonNegativeInt
    weight_bytes: NonNegativeInt
    vm_hwm_bytes: PositiveInt
    rss_anon_bytes: NonNegativeInt
    rss_file_bytes: NonNegativeInt
    warmup_settled: bool  # False: it ran out of time
    pace_before_ns: PositiveInt  # of a fixed piece of work on one core (`PaceRecord`)
    pace_after_ns: PositiveInt
    measured_at: datetime  # this machine's clock when the job ended
    # From asking for the job to its records, by this machine's clock: with loading the model and
    # transfers. Shorter where the job had begun already.
    host_seconds: NonNegativeFloat
    samples: tuple[Sample, ...]
    conditions: JobConditions | None = None  # None: not looked at

    @property
    def on_cpu(self) -> bool:
        return self.backend in CPU_BACKENDS

    @property
    def steady(self) -> list[Sample]:
        """The samples that count."""
        return [sample for sample in self.samples if sample.phase == "steady"]

    @property
    def steady_span_ns(self) -> tuple[int, int]:
        """From the begin of the first of them to the end of the last, on the device's clock."""
        steady = self.steady
        return steady[0].start_ns, steady[-1].start_ns + steady[-1].wall_ns

    @property
    def span_ns(self) -> tuple[int, int]:
        """From the begin of its first repetition to the end of its last, whatever their phase."""
        last = self.samples[-1]
        return self.samples[0].start_ns, last.start_ns + last.wall_ns

    def seconds_of(self, phase: Phase) -> list[float]:
        """Seconds per probe of each repetition of the phase."""
        return [sample.seconds_per_probe for sample in self.samples if sample.phase == phase]

    @property
    def steady_seconds(self) -> list[float]:
        """Seconds per probe of the samples that count."""
        return self.seconds_of("steady")

    @classmethod
    def from_records(
        cls,
        records: Sequence[Record],
        *,
        slot: Slot,
        position: int,
        arm: Arm,
        repetitions: int,
        device: str,
        measured_at: datetime,
        host_seconds: float,
        conditions: JobConditions | None = None,
    ) -> Measurement:
        """The measurement in the records of a job with the one time task of `arm`.

        Raises:
            IncompleteRunError: a record is missing, or not all `repetitions` were timed.
        """
        loads = [record for record in records if isinstance(record, LoadRecord)]
        memories = [record for record in records if isinstance(record, MemoryRecord)]
        timed = [record for record in records if isinstance(record, SampleRecord)]
        warmups = [record for record in records if isinstance(record, WarmupRecord)]
        paces = {record.when: record for record in records if isinstance(record, PaceRecord)}
        steady = sum(record.phase == "steady" for record in timed)
        complete = loads and memories and warmups and len(paces) == 2 and steady == repetitions
        if not complete:
            raise IncompleteRunError(
                f"the job of {arm.label} gave {len(loads)} load, {len(memories)} memory, "
                f"{len(warmups)} warmup and {len(paces)} pace records, and {steady} of "
                f"{repetitions} samples",
                device=device,
            )
        load, memory = loads[0], memories[-1]
        return cls(
            slot=slot,
            position=position,
            arm=arm,
            backend=load.backend,
            threads=load.threads,
            cpu_mask=load.cpu_mask,
            load_wall_ns=load.wall_ns,
            load_cpu_ns=load.cpu_ns,
            weight_bytes=load.weight_bytes,
            vm_hwm_bytes=memory.vm_hwm_bytes,
            rss_anon_bytes=memory.rss_anon_bytes,
            rss_file_bytes=memory.rss_file_bytes,
            warmup_settled=warmups[0].settled,
            pace_before_ns=paces["before"].wall_ns,
            pace_after_ns=paces["after"].wall_ns,
            measured_at=measured_at,
            host_seconds=host_seconds,
            samples=tuple(
                Sample.model_validate(record.model_dump(exclude={"event", "task"}))
                for record in timed
            ),
            conditions=conditions,
        )
