"""Peak memory of one client's step under each method."""

from __future__ import annotations

from pathlib import Path

from experiments.contract import MemoryResult
from experiments.execute import versions
from toolkit.simulation.encoder_model import EncoderTuning
from toolkit.simulation.memory import MemorySetting, measure_memory


def run_memory(minilm: Path) -> MemoryResult:
    """MiniLM with LoRA of rank 4 on all layers, a batch of 8 examples of 64 tokens.

    Raises:
        SimulationError: a measurement failed.
    """
    setting = MemorySetting(folder=minilm, tuning=EncoderTuning(classes=4, rank=4))
    return MemoryResult(
        batch=setting.batch,
        tokens=setting.tokens,
        rows={row.method: (row.loaded, row.peak) for row in measure_memory(setting)},
        versions=versions(),
    )
