"""What Vela, the compiler of Arm's Ethos-U, writes about a network that it compiled."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from exporters.errors import ExportError
from exporters.manifest import CompilerEstimate

_MEMORIES = ("sram", "dram", "on_chip_flash", "off_chip_flash")


def estimate_of(summaries: Sequence[Path]) -> CompilerEstimate:
    """One estimate from the summaries of the parts of a program.

    Args:
        summaries: files `*_summary_*.csv`, at least one, all for one processor.

    Raises:
        ExportError: a summary is not what this project knows.
    """
    rows = [_row(path) for path in summaries]
    try:
        return _sum(rows)
    except (KeyError, ValueError) as error:
        raise ExportError(
            f"Vela {version('ethos-u-vela')} describes its estimates in another way: {error}",
            remedy="install the version in fwdllm-toolkit[npu]",
        ) from error


def _row(path: Path) -> dict[str, str]:
    with path.open(newline="") as file:
        return next(csv.DictReader(file), {})


def _sum(rows: Sequence[dict[str, str]]) -> CompilerEstimate:
    first = rows[0]
    clock = float(first["core_clock"])
    cycles = round(_total(rows, "cycles_total"))
    return CompilerEstimate(
        compiler=f"vela {version('ethos-u-vela')}",
        processor=first["accelerator_configuration"].lower().replace("_", "-"),
        system=first["system_config"],
        memory_mode=first["memory_mode"],
        clock_hz=clock,
        parts=len(rows),
        cycles=cycles,
        runs_per_second=clock / cycles,
        multiply_accumulates=round(_total(rows, "nn_macs")),
        traffic_bytes=_by_memory({name: _total(rows, f"{name}_total_bytes") for name in _MEMORIES}),
        weight_bytes=_by_memory(
            {
                name: _total(rows, f"{name}_weight_read_bytes")
                + _total(rows, f"{name}_weight_write_bytes")
                for name in _MEMORIES
            }
        ),
        memory_bytes=_by_memory(
            {
                name: 1024 * max(float(row[f"{name}_memory_used"]) for row in rows)  # KiB
                for name in _MEMORIES
            }
        ),
    )


def _total(rows: Sequence[dict[str, str]], column: str) -> float:
    return sum(float(row[column]) for row in rows)


def _by_memory(amounts: dict[str, float]) -> dict[str, int]:
    return {name: round(amount) for name, amount in amounts.items() if amount}
