"""samples.parquet: all samples of a sweep as one table, a row each."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from device_bench.samples.measurement import Measurement
from exporters.lora.request import layers_text

TABLE_NAME = "samples.parquet"

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
