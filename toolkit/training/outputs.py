"""What a finished run leaves for others: adapters to load and tables to read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from exporters.durable_files import replaced_atomically
from exporters.gguf.adapter import write_adapter
from exporters.lora.peft_adapter import save_peft_adapter
from exporters.manifest import Bundle
from toolkit.forward_gradient import Values
from toolkit.training.contract import RoundRecord
from toolkit.training.run_folder import RunFolder


def write_outputs(
    folder: RunFolder, bundle: Bundle, values: Values, log: Sequence[RoundRecord]
) -> None:
    """Writes into the RUN folder:

    adapter/         a PEFT folder, which `peft` loads
    adapter.gguf     the same as a LoRA GGUF, which llama.cpp loads
    rounds.parquet   one row per round
    probes.parquet   one row per accepted probe
    """
    manifest = bundle.manifest
    save_peft_adapter(folder.path / "adapter", manifest, values)
    write_adapter(folder.path / "adapter.gguf", manifest.architecture, manifest.lora, values)
    _write_table(folder.path / "rounds.parquet", rounds_table(log))
    _write_table(folder.path / "probes.parquet", probes_table(log))


def rounds_table(log: Sequence[RoundRecord]) -> pd.DataFrame:
    """One row per round; `held_out_loss` and `held_out_accuracy` are absent where not evaluated."""
    return pd.DataFrame(
        {
            **record.model_dump(exclude={"devices", "evaluation"}),
            "failed_devices": sum(device.error is not None for device in record.devices),
            "held_out_loss": record.evaluation.loss if record.evaluation else None,
            "held_out_accuracy": record.evaluation.accuracy if record.evaluation else None,
        }
        for record in log
    )


def probes_table(log: Sequence[RoundRecord]) -> pd.DataFrame:
    """One row per accepted probe."""
    return pd.DataFrame(
        [
            (record.round, device.target, *probe)
            for record in log
            for device in record.devices
            for probe in zip(
                device.seeds,
                device.slopes,
                device.coefficients,
                device.losses_plus,
                device.losses_minus,
                strict=True,
            )
        ],
        columns=[
            "round",
            "target",
            "seed",
            "slope",
            "coefficient",
            "loss_plus",
            "loss_minus",
        ],
    )


def _write_table(path: Path, table: pd.DataFrame) -> None:
    with replaced_atomically(path) as temporary:
        table.to_parquet(temporary, index=False)
