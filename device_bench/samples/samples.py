"""Raw samples: kept as they came, one line per job, and as one table.

A SAMPLES folder holds

* `sweep.json`: what was measured, on what, in which order (`provenance.py`);
* `examples.jsonl`: the token sequences;
* `samples.jsonl`: one `Measurement` a line, appended as soon as its job ends;
* `samples.parquet`: the same as a table with a row per sample (`samples_table`);
* `numerics.json`: what the numeric gate saw (`numerics/contract.py`), and
  `numerics-examples.jsonl`, the tokens it saw it on, where the bundle knows the answers;
* `sustained.jsonl`: the same of one long run (`sustained.py`), where that was asked for;
* `operators.parquet`: how long each operator took (`sweeps/operators.py`), where that was asked
  for;
* `telemetry.jsonl`, `telemetry.parquet`: what the device's sensors said meanwhile, on the clock of
  `start_ns` (`android_harness/telemetry/records.py`), where that was recorded.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pandas as pd
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt, ValidationError

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
from device_bench.conditions.conditions import JobConditions
from device_bench.errors import SamplesError
from device_bench.plans.plan import Arm, Slot
from exporters.contract import Part
from exporters.durable_files import write_atomically
from exporters.lora.request import layers_text

SWEEP_NAME = "sweep.json"
EXAMPLES_NAME = "examples.jsonl"
SAMPLES_NAME = "samples.jsonl"
TABLE_NAME = "samples.parquet"
SUSTAINED_NAME = "sustained.jsonl"

# What computes on the device's cores, whose clocks and load it feels.
CPU_BACKENDS = ("ggml-cpu", "xnnpack")

# Columns of `samples_table`; times are the device's, in nanoseconds.
COLUMNS = {
    "target": "string",
    "backend": "string",
    "batch": "int64",
    "tokens": "int64",
    "directions_per_pass": "int64",
    "estimator": "string",
    "layers": "string",  # whose LoRA moved: all | A-B
    "threads": "int64",
    "cpu_mask": "string",  # read back from the kernel; missing: any
    "block": "int64",
    "position": "int64",  # of the job in the sweep's order, from 0
    "phase": "string",  # first | warmup | steady
    "repetition": "int64",
    "directions": "int64",  # probes in this repetition
    "passes": "int64",
    "start_ns": "int64",
    "wall_ns": "int64",
    "cpu_ns": "int64",
    "seconds_per_probe": "float64",
    "load_wall_ns": "int64",  # of the job, like all that follow
    "warmup_settled": "bool",
    "pace_before_ns": "int64",
    "pace_after_ns": "int64",
    "vm_hwm_bytes": "int64",
}


def samples_folder(path: Path) -> Path:
    """Makes the folder where there is none.

    Raises:
        SamplesError: there is a file in its place.
    """
    if path.exists() and not path.is_dir():
        raise SamplesError(
            "the samples need a folder, this is a file",
            remedy="give another path for the samples",
            file=path,
        )
    path.mkdir(parents=True, exist_ok=True)
    return path


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


def append_measurement(path: Path, measurement: Measurement) -> None:
    """Adds a line and syncs it, so that a later crash cannot take it away."""
    with path.open("a", encoding="utf-8") as file:
        file.write(measurement.model_dump_json() + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_measurements(path: Path) -> list[Measurement]:
    """The measurements of a `samples.jsonl`, without a torn last line; none if it is absent.

    Raises:
        SamplesError: a whole line is not a measurement.
    """
    if not path.exists():
        return []
    measurements = []
    for number, line in enumerate(_whole_lines(path.read_bytes()), start=1):
        try:
            measurements.append(Measurement.model_validate_json(line))
        except ValidationError as error:
            raise SamplesError(
                f"line {number} is not a measurement of this version of fwdllm",
                remedy="measure again into another folder",
                file=path,
            ) from error
    return measurements


def jobs_measured(folder: Path) -> int:
    """How many jobs of its sweep a SAMPLES folder holds; 0 where there is none."""
    path = folder / SAMPLES_NAME
    return len(_whole_lines(path.read_bytes())) if path.exists() else 0


def drop_torn_line(path: Path) -> None:
    """Cuts the line that a crash left unfinished, so that appending starts on a new line."""
    if path.exists():
        content = path.read_bytes()
        whole = b"".join(_whole_lines(content))
        if whole != content:
            write_atomically(path, whole)


def samples_table(target: str, measurements: Sequence[Measurement]) -> pd.DataFrame:
    """All samples of all phases, a row each, with the columns and dtypes of `COLUMNS`."""
    rows = [
        {
            "target": target,
            "backend": measurement.backend,
            **measurement.arm.model_dump(),
            "layers": layers_text(measurement.arm.layers),
            "threads": measurement.threads,
            "cpu_mask": measurement.cpu_mask,
            "block": measurement.slot.block,
            "position": measurement.position,
            **sample.model_dump(),
            "seconds_per_probe": sample.seconds_per_probe,
            "load_wall_ns": measurement.load_wall_ns,
            "warmup_settled": measurement.warmup_settled,
            "pace_before_ns": measurement.pace_before_ns,
            "pace_after_ns": measurement.pace_after_ns,
            "vm_hwm_bytes": measurement.vm_hwm_bytes,
        }
        for measurement in measurements
        for sample in measurement.samples
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _whole_lines(content: bytes) -> list[bytes]:
    return [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]
