"""operators.parquet: how long the operators of each arm's programs take.

Timed in jobs of their own, one per arm, after the samples: a program that is timed operator by
operator is slower than one that runs through.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from android_harness.building.engines import Engine
from android_harness.errors import IncompleteRunError
from android_harness.job import TimeTask
from android_harness.records import LoadRecord, OperatorsRecord
from android_harness.runs.installed_runner import InstalledRunner
from device_bench.errors import SweepSettingsError
from device_bench.plans.sweep_plan import Arm
from exporters.durable_files import replaced_atomically
from exporters.lora.request import layers_text

OPERATORS_NAME = "operators.parquet"

# A row per arm, program and operator; `calls` and `wall_ns` are of all `directions` together.
OPERATOR_COLUMNS = {
    "target": "string",
    "backend": "string",
    "batch": "int64",
    "tokens": "int64",
    "directions_per_pass": "int64",
    "estimator": "string",
    "layers": "string",
    "threads": "int64",
    "cpu_mask": "string",  # of the cores it may use, as was asked for; missing: any
    "program": "string",
    "place": "string",  # kernel: of the engine; delegate: a whole call of the backend; control
    "name": "string",
    "calls": "int64",
    "wall_ns": "int64",
    "directions": "int64",
    "seconds_per_probe": "float64",
}


def refuse_without_operators(engines: Sequence[Engine]) -> None:
    """Before anything is measured.

    Raises:
        SweepSettingsError: none of the engines tells how long its operators take.
    """
    if "executorch" not in engines:
        raise SweepSettingsError(
            f"{' and '.join(dict.fromkeys(engines))} does not tell how long its operators take",
            remedy="leave --profile-ops out, or bench a bundle for ExecuTorch",
        )


def measure_operators(
    installed: InstalledRunner,
    timings: Sequence[tuple[Arm, TimeTask]],
    folder: Path,
    *,
    examples: Path,
    timeout_s: float | None,
    on_arm: Callable[[Arm], None],
) -> None:
    """Times the operators of each arm and writes operators.parquet, whole or not at all.

    Args:
        timings: the arms with their time tasks.
        on_arm: called before each arm.

    Raises:
        IncompleteRunError: a job gave no operators.
        DeviceError: a job failed.
    """
    rows = []
    for arm, timing in timings:
        on_arm(arm)
        records = installed.run(
            examples=examples,
            tasks=[timing.model_copy(update={"operators": True})],
            threads=arm.threads,
            cpu_mask=arm.cpu_mask,
            timeout_s=timeout_s,
        )
        load = next((record for record in records if isinstance(record, LoadRecord)), None)
        told = next((record for record in records if isinstance(record, OperatorsRecord)), None)
        if load is None or told is None:
            raise IncompleteRunError(
                f"the job of {arm.label} told no operators", device=installed.target.name
            )
        rows += [
            {
                "target": installed.target.name,
                "backend": load.backend,
                **arm.model_dump(),
                "layers": layers_text(arm.layers),
                **operator.model_dump(),
                "directions": told.directions,
                "seconds_per_probe": operator.wall_ns / told.directions / 1e9,
            }
            for operator in told.operators
        ]
    table = pd.DataFrame(rows, columns=list(OPERATOR_COLUMNS)).astype(OPERATOR_COLUMNS)
    with replaced_atomically(folder / OPERATORS_NAME) as temporary:
        table.to_parquet(temporary, index=False)
