"""What came of `fwdllm bench`, for people and for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from device_bench.fitting.fit_profile import fit_profile
from device_bench.samples.outstanding import least_left
from device_bench.samples.provenance import Sweep
from device_bench.samples.samples_folder import (
    SAMPLES_NAME,
    SWEEP_NAME,
    jobs_measured,
    read_measurements,
)
from exporters.errors import FwdllmError
from toolkit.cli.console import out
from toolkit.cli.fleet import Outcome
from toolkit.cli.fleet_display import whole_message_of
from toolkit.cli.profile_tables import estimator_tables, placement_tables


def row_of(outcome: Outcome[list[Path]], folder: Path, samples: Sequence[Path]) -> dict[str, Any]:
    """What came of a device, as JSON shows it.

    `jobs_in_all` are those that there are at least; None: of a part they are not known.

    Args:
        folder: of the device.
        samples: its SAMPLES folders.
    """
    error = outcome.error
    left = [_left_in(each) for each in samples]
    known = [each for each in left if each is not None]
    jobs = sum(jobs_measured(each) for each in samples)
    return {
        "target": outcome.spec,
        "samples": str(folder),
        "sweeps": [str(each) for each in samples],
        "finished": error is None,
        "jobs": jobs,
        "jobs_in_all": jobs + sum(known) if len(known) == len(left) else None,
        "error": None if error is None else whole_message_of(error, outcome.spec),
        "remedy": error.remedy if isinstance(error, FwdllmError) else None,
    }


def summary(rows: Sequence[dict[str, Any]]) -> Table:
    """A row for each device."""
    table = Table()
    for heading in ("device", "jobs", "samples", "failure, and its remedy"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        failure = " – ".join(row[part] for part in ("error", "remedy") if row[part])
        in_all = "?" if row["jobs_in_all"] is None else row["jobs_in_all"]
        table.add_row(
            escape(row["target"]),
            f"{row['jobs']}/{in_all}",
            escape(row["samples"]),
            escape(failure),
        )
    return table


def print_profiles(outcomes: Sequence[Outcome[list[Path]]]) -> None:
    """Of each device that was measured: where its samples are, and what its estimators cost."""
    for outcome in outcomes:
        for folder in outcome.result or ():
            out.print(f"samples of {outcome.spec}: {folder}", highlight=False, soft_wrap=True)
            fitted = fit_profile(folder, now=datetime.now(UTC))
            for table in (*placement_tables(fitted), *estimator_tables(fitted)):
                out.print(table)


def _left_in(folder: Path) -> int | None:
    """None too where the samples are damaged: the device's own failure says so."""
    if not (folder / SWEEP_NAME).exists():
        return None
    try:
        plan = Sweep.read(folder / SWEEP_NAME).plan
        return least_left(plan, read_measurements(folder / SAMPLES_NAME))
    except FwdllmError:
        return None
