"""Vela's summaries, from two parts of a small program that it compiled."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporters.errors import ExportError

pytest.importorskip("ethosu.vela", reason="needs fwdllm-toolkit[npu]")

from exporters.executorch.vela_summary import estimate_of

COLUMNS = (
    "experiment,network,accelerator_configuration,system_config,memory_mode,core_clock,"
    "arena_cache_size,inferences_per_second,sram_memory_used,dram_memory_used,"
    "on_chip_flash_memory_used,off_chip_flash_memory_used,sram_weight_read_bytes,"
    "sram_weight_write_bytes,sram_total_bytes,dram_weight_read_bytes,dram_weight_write_bytes,"
    "dram_total_bytes,on_chip_flash_weight_read_bytes,on_chip_flash_weight_write_bytes,"
    "on_chip_flash_total_bytes,off_chip_flash_weight_read_bytes,off_chip_flash_weight_write_bytes,"
    "off_chip_flash_total_bytes,nn_macs,cycles_total"
)
PLACE = "default,out,Ethos_U85_1024,Ethos_U85_SYS_DRAM_Mid,Dedicated_Sram_384KB,1000000000.0,384.0"
LARGE = f"{PLACE},11000.0,12.0,90.5,0.0,0.0,16,8,500,70,0,100,0,0,0,0,0,0,414428,90000"
SMALL = f"{PLACE},100000.0,14.5,1.0,0.0,0.0,0,0,40,0,0,8,0,0,0,0,0,0,12,10000"


def summary(folder: Path, row: str, columns: str = COLUMNS) -> Path:
    path = folder / f"{abs(hash(row))}.csv"
    path.write_text(f"{columns}\n{row}\n")
    return path


def test_parts_run_one_after_another(tmp_path: Path) -> None:
    estimate = estimate_of([summary(tmp_path, LARGE), summary(tmp_path, SMALL)])
    assert estimate.provenance == "modelled" and estimate.compiler.startswith("vela ")
    assert estimate.processor == "ethos-u85-1024"
    assert estimate.memory_mode == "Dedicated_Sram_384KB"
    assert (estimate.parts, estimate.cycles, estimate.runs_per_second) == (2, 100_000, 10_000)
    assert estimate.multiply_accumulates == 414_440
    assert estimate.traffic_bytes == {"sram": 540, "dram": 108}
    assert estimate.weight_bytes == {"sram": 24, "dram": 70}
    assert estimate.memory_bytes == {"sram": 14_848, "dram": 92_672}


@pytest.mark.parametrize(
    ("row", "columns"),
    [(LARGE, COLUMNS.replace("cycles_total", "cycles")), (LARGE.replace("90000", "many"), COLUMNS)],
)
def test_other_summaries_are_an_error(row: str, columns: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="describes its estimates in another way"):
        estimate_of([summary(tmp_path, row, columns)])
