"""Beginning a run, or finding the begun one, in a RUN folder."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from android_harness.examples import Example, examples_text
from android_harness.job import Loss, VerbalizerLoss
from exporters.durable_files import write_atomically
from exporters.gguf.adapter import read_adapter_values
from exporters.manifest import Bundle
from toolkit.data.partition import iid_partition
from toolkit.errors import TrainingError
from toolkit.training.contract import RunDescription, Share, TrainingConfig
from toolkit.training.run_folder import RunFolder

# What differs between two invocations of the same run.
_FREE_FIELDS = {"run_id", "created_at"}


@dataclass(frozen=True)
class TrainingData:
    """Examples to learn from, and others to evaluate on (none: the run is not evaluated)."""

    examples: Sequence[Example]
    held_out: Sequence[Example] = ()


def begin_or_continue(
    folder: RunFolder,
    *,
    bundle: Bundle,
    data: TrainingData,
    config: TrainingConfig,
    probes: Mapping[str, tuple[int, int]],
) -> RunDescription:
    """Writes the examples files, and run.json unless the folder holds this very run already.

    The examples are divided at random and evenly over the targets of `probes`.

    Raises:
        TrainingError: the folder holds another run; an example does not fit the model or loss.
        DataError: there are fewer examples than devices.
    """
    for example in (*data.examples, *data.held_out):
        _check_example(example, bundle, config.loss)
    parts = iid_partition(len(data.examples), len(probes), config.seed)
    # All in memory first: a refusal must leave the data of the run that is there as they are.
    texts = {
        examples_path(folder, position): examples_text([data.examples[number] for number in part])
        for position, part in enumerate(parts)
    }
    if data.held_out:
        texts[held_out_path(folder)] = examples_text(data.held_out)
    hashes = {path: hashlib.sha256(text.encode()).hexdigest() for path, text in texts.items()}
    description = RunDescription(
        run_id=secrets.token_hex(8),
        created_at=datetime.now(UTC),
        bundle_sha256=bundle.sha256,
        parameters=bundle.manifest.lora.parameters,
        config=config,
        shares=tuple(
            Share(
                target=target,
                probes=probes[target][0],
                directions_per_pass=probes[target][1],
                examples=len(part),
                examples_sha256=hashes[examples_path(folder, position)],
            )
            for position, (target, part) in enumerate(zip(probes, parts, strict=True))
        ),
        held_out_sha256=hashes.get(held_out_path(folder)),
    )
    begun = folder.exists()
    if begun:
        description = _same_run(folder, description)
    for path, text in texts.items():
        write_atomically(path, text)
    if begun:
        return description
    manifest = bundle.manifest
    initial = read_adapter_values(bundle.adapter, manifest.architecture, manifest.lora)
    folder.begin(description, initial)
    return description


def examples_path(folder: RunFolder, position: int) -> Path:
    """The examples file of the device at this position among the shares."""
    return folder.data / f"device-{position:03d}.jsonl"


def held_out_path(folder: RunFolder) -> Path:
    return folder.data / "held-out.jsonl"


def _check_example(example: Example, bundle: Bundle, loss: Loss) -> None:
    architecture = bundle.manifest.architecture
    if len(example.tokens) > architecture.context_length:
        raise TrainingError(
            f"an example of {len(example.tokens)} tokens does not fit the model's context "
            f"of {architecture.context_length}",
            remedy="allow fewer tokens per example",
        )
    if not example.target_ids:
        raise TrainingError("an example has nothing to predict")
    if isinstance(loss, VerbalizerLoss) and not set(example.target_ids) <= set(loss.tokens):
        raise TrainingError("an example's target is not among the verbalizer's tokens")


def _same_run(folder: RunFolder, new: RunDescription) -> RunDescription:
    old = folder.description()
    # The configuration first: what else differs usually follows from it.
    later = (name for name in RunDescription.model_fields if name not in {"config", *_FREE_FIELDS})
    for field in ("config", *later):
        if getattr(old, field) != getattr(new, field):
            raise TrainingError(
                f"the folder holds a run with another {field}: {_difference(old, new, field)}",
                remedy="give another --out, or repeat the first invocation to continue that run",
                file=folder.path,
            )
    return old


def _difference(old: RunDescription, new: RunDescription, field: str) -> str:
    if field != "config":
        return f"{getattr(old, field)}, now {getattr(new, field)}"
    before, after = old.config, new.config
    return ", ".join(
        f"{name} {getattr(before, name)}, now {getattr(after, name)}"
        for name in TrainingConfig.model_fields
        if getattr(before, name) != getattr(after, name)
    )
