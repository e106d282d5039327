"""telemetry.parquet: a recording as a table, a row per reading."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from android_harness.telemetry.records import TelemetryBegin, TelemetryReading
from android_harness.telemetry.trace import read_records
from exporters.durable_files import replaced_atomically


def telemetry_table(path: Path) -> pd.DataFrame:
    """The readings of a telemetry.jsonl, with a column for each channel, NaN where absent.

    `begin` counts the recordings of the file from 0; `uptime_ns` is the device's clock.
    """
    rows: list[dict[str, float]] = []
    begin = -1
    for record in read_records(path):
        if isinstance(record, TelemetryBegin):
            begin += 1
        elif isinstance(record, TelemetryReading):
            rows.append({"begin": begin, "uptime_ns": record.uptime_ns, **record.values})
    channels = sorted({name for row in rows for name in row} - {"begin", "uptime_ns"})
    table = pd.DataFrame(rows, columns=["begin", "uptime_ns", *channels])
    types = dict.fromkeys(channels, "float64") | {"begin": "int64", "uptime_ns": "int64"}
    return table.astype(types)


def write_table(path: Path) -> Path:
    """Writes the table beside a telemetry.jsonl, atomically; its path.

    Raises:
        OSError: it cannot be written.
    """
    to = path.with_suffix(".parquet")
    with replaced_atomically(to) as temporary:
        telemetry_table(path).to_parquet(temporary, index=False)
    return to
