"""A SAMPLES folder: raw samples, kept as they came, one line per job.

It holds

* `sweep.json`: what was measured, on what, in which order (`provenance.py`);
* `examples.jsonl`: the token sequences;
* `samples.jsonl`: one `Measurement` (`measurement.py`) a line, appended as soon as its job ends;
* `samples.parquet`: the same as a table with a row per sample (`table.py`);
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
from pathlib import Path

from pydantic import ValidationError

from android_harness.telemetry.records import TELEMETRY_NAME
from android_harness.telemetry.trace import Trace, read_trace
from device_bench.errors import SamplesError
from device_bench.samples.measurement import Measurement
from exporters.durable_files import write_atomically

SWEEP_NAME = "sweep.json"
EXAMPLES_NAME = "examples.jsonl"
SAMPLES_NAME = "samples.jsonl"
SUSTAINED_NAME = "sustained.jsonl"


def make_samples_folder(path: Path) -> Path:
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


def _whole_lines(content: bytes) -> list[bytes]:
    return [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]


def read_telemetry(folder: Path) -> Trace | None:
    """What the device's sensors said while a SAMPLES folder was filled; None: none was recorded."""
    path = folder / TELEMETRY_NAME
    return read_trace(path) if path.exists() else None
