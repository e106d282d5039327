"""Simulated runs from what a user has: a bundle or an encoder, data, and profiles of devices."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import AutoTokenizer

from device_bench.profile import Profile
from exporters.durable_files import sha256_of
from exporters.manifest import Bundle
from toolkit.data.head_classification import ClassExample
from toolkit.data.partition import Partition, partition_rows
from toolkit.data.source import DataSource
from toolkit.data.task import Task, TextSource, load_head_task
from toolkit.simulation.causal_model import load_bundle
from toolkit.simulation.client import ClientOptions
from toolkit.simulation.encoder_model import EncoderTuning, load_encoder
from toolkit.simulation.errors import SimulationError
from toolkit.simulation.profile_seconds import profile_seconds
from toolkit.simulation.run import Population, client_names, simulate
from toolkit.simulation.token_store import TokenStore
from toolkit.training.contract import RoundRecord, TrainingConfig
from toolkit.training.run_on_fleet import TrainingResult


@dataclass(frozen=True)
class EncoderLora:
    """The LoRA that an encoder gets; `targets` None: its query and value projections."""

    rank: int
    alpha: float
    targets: tuple[str, ...] | None


def simulate_bundle(
    bundle: Bundle,
    task: Task,
    *,
    clients: int,
    partition: Partition,
    config: TrainingConfig,
    out: Path,
    profiles: Sequence[Profile] = (),
    on_round: Callable[[RoundRecord], None] | None = None,
) -> TrainingResult:
    """Trains the LoRA of a bundle's source model, which is not quantized here.

    Raises:
        DataError: the rows cannot be divided over the clients.
        TrainingError: the run cannot start or continue.
    """
    model = load_bundle(bundle, task.loss)
    learnt = TokenStore.of_examples(task.examples)
    population = Population(
        learnt=learnt,
        lines=partition_rows(partition, task.rows, clients, config.seed),
        held_out=TokenStore.of_examples(task.held_out),
        options=_options(learnt, clients, profiles),
    )
    return simulate(
        model, population, model_sha256=bundle.sha256, config=config, out=out, on_round=on_round
    )


def simulate_encoder(
    folder: Path,
    source: TextSource,
    lora: EncoderLora,
    *,
    clients: int,
    layers: str,
    partition: Partition,
    held_out: int,
    held_out_path: DataSource | None,
    max_tokens: int,
    most_examples: int | None,
    config: TrainingConfig,
    out: Path,
    profiles: Sequence[Profile] = (),
    on_round: Callable[[RoundRecord], None] | None = None,
) -> TrainingResult:
    """Trains LoRA and a classification head of a Hugging Face encoder folder.

    Raises:
        SimulationError: the folder holds no encoder that can be adapted.
        DataError: the data do not suffice, or have no labels.
        TrainingError: the run cannot start or continue.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise SimulationError(f"cannot load the tokenizer: {error}", file=folder) from error
    task = load_head_task(
        source,
        tokenizer,
        held_out=held_out,
        held_out_path=held_out_path,
        max_tokens=max_tokens,
        most_examples=most_examples,
        seed=config.seed,
    )
    tuning = EncoderTuning(
        classes=len(task.classes),
        rank=lora.rank,
        alpha=lora.alpha,
        targets=lora.targets,
        layers=layers,
        seed=config.seed,
    )
    learnt = _labelled(task.examples)
    population = Population(
        learnt=learnt,
        lines=partition_rows(partition, task.rows, clients, config.seed),
        held_out=_labelled(task.held_out),
        options=_options(learnt, clients, profiles),
    )
    return simulate(
        load_encoder(folder, tuning),
        population,
        model_sha256=_folder_sha256(folder, tuning),
        config=config,
        out=out,
        on_round=on_round,
    )


def _labelled(examples: Sequence[ClassExample]) -> TokenStore:
    return TokenStore.labelled(
        [example.tokens for example in examples], [example.label for example in examples]
    )


def _options(store: TokenStore, clients: int, profiles: Sequence[Profile]) -> ClientOptions:
    if not profiles:
        return ClientOptions()
    longest = max(store.length(line) for line in range(len(store)))
    return ClientOptions(seconds=profile_seconds(profiles, client_names(clients), tokens=longest))


def _folder_sha256(folder: Path, tuning: EncoderTuning) -> str:
    """Of the model's files and what is made of them."""
    digest = hashlib.sha256(tuning.model_dump_json().encode())
    for path in sorted(path for path in folder.iterdir() if path.suffix in _MODEL_SUFFIXES):
        digest.update(f"{path.name} {sha256_of(path)}\n".encode())
    return digest.hexdigest()


_MODEL_SUFFIXES = {".json", ".safetensors", ".bin"}
