"""What a finished run leaves for others: adapters to load and tables to read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from exporters.durable_files import replaced_atomically
from exporters.gguf.adapter import write_adapter
from exporters.lora.peft_adapter import save_peft_adapter
from exporters.manifest import Bundle
from toolkit.gradient.forward_gradient import Values
from toolkit.training.contract import RoundRecord
from toolkit.training.run_folder import RunFolder


def write_outputs(
    folder: RunFolder, bundle: Bundle, values: Values, log: Sequence[RoundRecord]
) -> None:
    """Writes into the RUN folder:

    adapter/         a PEFT folder, which `peft` loads
    adapter.gguf     the same as a LoRA GGUF, which llama.cpp loads; not of an encoder
    rounds.parquet   one row per round
    probes.parquet   one row per accepted probe
    """
    manifest = bundle.manifest
    save_peft_adapter(folder.path / "adapter", manifest, values)
    if manifest.architecture.classes is None:
        write_adapter(folder.path / "adapter.gguf", manifest.architecture, manifest.lora, values)
    _write_table(folder.path / "rounds.parquet", rounds_table(log))
    _write_table(folder.path / "probes.parquet", probes_table(log))


def rounds_table(log: Sequence[RoundRecord]) -> pd.DataFrame:
    """One row per round; `held_out_loss` and `held_out_accuracy` are absent where not evaluated."""
    return pd.DataFrame(
        {
            **record.model_dump(exclude=_NESTED),
            "increments": len(record.pacing),
            "committed": record.committed,
            "clients": len({one.client for one in record.measurements}),
            "lost": len(record.lost),
            "held_out_loss": record.evaluation.loss if record.evaluation else None,
            "held_out_accuracy": record.evaluation.accuracy if record.evaluation else None,
        }
        for record in log
    )


# What has a table of its own, or is no table's matter.
_NESTED = {
    "slopes_asked",
    "measurements",
    "along",
    "head_gradient",
    "lost",
    "pacing",
    "update",
    "evaluation",
}


def probes_table(log: Sequence[RoundRecord]) -> pd.DataFrame:
    """One row per admitted probe; `seed` is the direction's first where it has several."""
    return pd.DataFrame(
        [
            (
                record.round,
                one.client,
                one.asked_in,
                one.increment,
                name if isinstance(name, int) else name[0],
                slope,
                one.weight,
            )
            for record in log
            for one in record.measurements
            for name, slope in zip(one.directions, one.slopes, strict=True)
        ],
        columns=["round", "client", "asked_in", "increment", "seed", "slope", "weight"],
    )


def _write_table(path: Path, table: pd.DataFrame) -> None:
    with replaced_atomically(path) as temporary:
        table.to_parquet(temporary, index=False)
