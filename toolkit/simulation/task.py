"""What is simulated, from what a user has: a bundle or an encoder, data, and profiles of devices.

A `Simulated...` is a small description that makes the whole thing when it is called; worker
processes are given it and make their own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import AutoTokenizer

from android_harness.job import Loss
from device_bench.profiles.profile_files import read_profiles
from exporters.durable_files import sha256_of
from exporters.manifest import Bundle
from exporters.tokenizer import load_tokenizer
from toolkit.data.head_classification import ClassExample
from toolkit.data.partition import Partition, partition_rows
from toolkit.data.source import DataSource
from toolkit.data.table import Rows
from toolkit.data.task import TextSource, load_head_task, load_task
from toolkit.simulation.causal_model import load_bundle
from toolkit.simulation.client import ClientOptions
from toolkit.simulation.encoder_model import EncoderTuning, load_encoder
from toolkit.simulation.errors import SimulationError
from toolkit.simulation.population import Population, client_names
from toolkit.simulation.profile_seconds import profile_seconds
from toolkit.simulation.token_store import TokenStore
from toolkit.simulation.torch_model import TorchModel


@dataclass(frozen=True)
class SimulatedData:
    """The clients' rows and those to evaluate on; see `load_task`.

    With `profiles` (files) the clients' seconds are modelled from them.
    """

    source: TextSource
    clients: int
    partition: Partition
    held_out: int
    held_out_path: DataSource | None
    max_tokens: int
    most_examples: int | None
    seed: int
    profiles: tuple[Path, ...] = ()

    def population(self, rows: Rows, learnt: TokenStore, held_out: TokenStore) -> Population:
        """The clients over the examples that were made of the rows."""
        return Population(
            learnt=learnt,
            lines=partition_rows(self.partition, rows, self.clients, self.seed),
            held_out=held_out,
            options=self._options(learnt),
        )

    def _options(self, store: TokenStore) -> ClientOptions:
        if not self.profiles:
            return ClientOptions()
        profiles = [profile for path in self.profiles for profile in read_profiles(path)]
        longest = max(store.length(line) for line in range(len(store)))
        names = client_names(self.clients)
        return ClientOptions(seconds=profile_seconds(profiles, names, tokens=longest))


@dataclass(frozen=True)
class Loaded:
    """A model and its clients; `loss` None: the model's head has its own."""

    model: TorchModel
    population: Population
    model_sha256: str
    loss: Loss | None


# Gives the same in every process; worker processes are sent it, so pickle must be able to.
Loader = Callable[[], Loaded]


@dataclass(frozen=True)
class SimulatedBundle:
    """The LoRA of a bundle's source model, which is not quantized here."""

    bundle: Path
    data: SimulatedData
    template: str
    words: Mapping[str, str] | None

    def __call__(self) -> Loaded:
        """
        Raises:
            DataError: the data do not suffice, or cannot be divided over the clients.
            ExportError: the source model cannot be loaded any more.
        """
        bundle, data = Bundle(self.bundle), self.data
        task = load_task(
            data.source,
            load_tokenizer(bundle),
            held_out=data.held_out,
            held_out_path=data.held_out_path,
            template=self.template,
            words=self.words,
            max_tokens=data.max_tokens,
            most_examples=data.most_examples,
            seed=data.seed,
        )
        learnt, held_out = map(TokenStore.of_examples, (task.examples, task.held_out))
        return Loaded(
            model=load_bundle(bundle, task.loss),
            population=data.population(task.rows, learnt, held_out),
            model_sha256=bundle.sha256,
            loss=task.loss,
        )


@dataclass(frozen=True)
class EncoderLora:
    """The LoRA that an encoder gets; `targets` None: its query and value projections."""

    rank: int
    alpha: float
    targets: tuple[str, ...] | None


@dataclass(frozen=True)
class SimulatedEncoder:
    """LoRA and a classification head on a Hugging Face encoder folder; `layers` are adapted."""

    folder: Path
    data: SimulatedData
    lora: EncoderLora
    layers: str

    def __call__(self) -> Loaded:
        """
        Raises:
            SimulationError: the folder holds no encoder that can be adapted.
            DataError: the data do not suffice, have no labels, or cannot be divided.
        """
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.folder)
        except (OSError, ValueError) as error:
            raise SimulationError(
                f"cannot load the tokenizer: {error}", file=self.folder
            ) from error
        data = self.data
        task = load_head_task(
            data.source,
            tokenizer,
            held_out=data.held_out,
            held_out_path=data.held_out_path,
            max_tokens=data.max_tokens,
            most_examples=data.most_examples,
            seed=data.seed,
        )
        tuning = EncoderTuning(
            classes=len(task.classes),
            rank=self.lora.rank,
            alpha=self.lora.alpha,
            targets=self.lora.targets,
            layers=self.layers,
            seed=data.seed,
        )
        learnt, held_out = map(_labelled, (task.examples, task.held_out))
        return Loaded(
            model=load_encoder(self.folder, tuning),
            population=data.population(task.rows, learnt, held_out),
            model_sha256=_folder_sha256(self.folder, tuning),
            loss=None,
        )


def _labelled(examples: Sequence[ClassExample]) -> TokenStore:
    return TokenStore.labelled(
        [example.tokens for example in examples], [example.label for example in examples]
    )


def _folder_sha256(folder: Path, tuning: EncoderTuning) -> str:
    """Of the model's files and what is made of them."""
    digest = hashlib.sha256(tuning.model_dump_json().encode())
    for path in sorted(path for path in folder.iterdir() if path.suffix in _MODEL_SUFFIXES):
        digest.update(f"{path.name} {sha256_of(path)}\n".encode())
    return digest.hexdigest()


_MODEL_SUFFIXES = {".json", ".safetensors", ".bin"}
