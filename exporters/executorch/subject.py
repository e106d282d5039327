"""What is exported: a decoder or an encoder classifier, as far as they differ."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from exporters.encoder_reference import EncoderReference, LabelledBatch
from exporters.encoder_source import EncoderSource, find_encoder, is_encoder
from exporters.errors import ExportError
from exporters.executorch.batches import Inputs, labelled_runs, next_token_runs
from exporters.executorch.decoder import Decoder
from exporters.executorch.encoder import Encoder
from exporters.executorch.model import Model
from exporters.gguf.vocabulary import vocabulary_of
from exporters.lora.layout import ENCODER_MODULES, TARGET_MODULES, LoraLayout
from exporters.manifest import Architecture, Program
from exporters.model_source import ModelSource, find_model
from exporters.parity_reference import SEQUENCES, TOKENS, Measured, random_sequences
from exporters.torch_reference import TorchReference

TokenizerKind = Literal["sentencepiece", "bpe", "wordpiece", "unigram"]
_KINDS: dict[str, TokenizerKind] = {"WordPiece": "wordpiece", "BPE": "bpe", "Unigram": "unigram"}


@dataclass(frozen=True)
class Comparison:
    """Random inputs and what PyTorch makes of them.

    Args:
        count: sequences.
        tokens: of each, at most.
        sequences: token ids by which a device can repeat the comparison; None where it cannot.
        runs: the inputs as runs of a program.
    """

    measured: Measured
    count: int
    tokens: int
    sequences: NDArray[np.int64] | None
    runs: Callable[[Program], list[Inputs]]


class Subject(ABC):
    """A model that was found and accepted.

    Attributes:
        lora_modules: linear layers that can carry LoRA.
        query_and_value: those of them that a fresh LoRA adapts unless told otherwise.
    """

    lora_modules: ClassVar[tuple[str, ...]]
    query_and_value: tuple[str, ...]
    name: str
    architecture: Architecture

    @abstractmethod
    def load_model(self, seed: int) -> PreTrainedModel: ...

    @abstractmethod
    def load_tokenizer(self) -> tuple[PreTrainedTokenizerFast, TokenizerKind]: ...

    @abstractmethod
    def compare(
        self, model: PeftModel, layout: LoraLayout, longest: int, seed: int
    ) -> Comparison: ...

    @abstractmethod
    def module(self, model: Any) -> Model:
        """The model, without LoRA, as programs need it."""


class DecoderSubject(Subject):
    lora_modules = TARGET_MODULES
    query_and_value = ("q_proj", "v_proj")

    def __init__(self, source: ModelSource) -> None:
        self._source = source
        self.name, self.architecture = source.name, source.architecture

    def load_model(self, seed: int) -> PreTrainedModel:
        return self._source.load_model()

    def load_tokenizer(self) -> tuple[PreTrainedTokenizerFast, TokenizerKind]:
        tokenizer = self._source.load_tokenizer()
        return tokenizer, vocabulary_of(tokenizer, self.architecture.vocabulary_size).kind

    def compare(self, model: PeftModel, layout: LoraLayout, longest: int, seed: int) -> Comparison:
        sequences = random_sequences(self.architecture.vocabulary_size, longest, seed)
        return Comparison(
            TorchReference(model, layout, sequences),
            len(sequences),
            sequences.shape[1] - 1,
            sequences,
            lambda program: next_token_runs(program, sequences),
        )

    def module(self, model: Any) -> Model:
        return Decoder(model, self.architecture)


class EncoderSubject(Subject):
    lora_modules = ENCODER_MODULES

    def __init__(self, source: EncoderSource) -> None:
        self._source = source
        self.name, self.architecture = source.name, source.architecture
        is_distil = self.architecture.family == "distilbert"
        self.query_and_value = ("q_lin", "v_lin") if is_distil else ("query", "value")

    def load_model(self, seed: int) -> PreTrainedModel:
        return self._source.load_model(seed)

    def load_tokenizer(self) -> tuple[PreTrainedTokenizerFast, TokenizerKind]:
        tokenizer = self._source.load_tokenizer()
        kind = type(tokenizer.backend_tokenizer.model).__name__
        if kind not in _KINDS:
            raise ExportError(f"a tokenizer of kind {kind} is not supported")
        return tokenizer, _KINDS[kind]

    def compare(self, model: PeftModel, layout: LoraLayout, longest: int, seed: int) -> Comparison:
        shapes = self.architecture
        assert shapes.classes is not None
        padding = self._source.config.pad_token_id or 0
        batch = LabelledBatch.random(
            2 * SEQUENCES,
            min(longest, TOKENS),
            shapes.vocabulary_size,
            shapes.classes,
            padding,
            seed,
        )
        return Comparison(
            EncoderReference(model, layout, batch),
            len(batch.tokens),
            batch.tokens.shape[1],
            None,
            lambda program: labelled_runs(program, batch),
        )

    def module(self, model: Any) -> Model:
        return Encoder(model)


def find_subject(model: str, classes: int | None) -> Subject:
    """Reads the configuration of MODEL, not its weights.

    Raises:
        UnsupportedModelError: it is of another class.
        ExportError: there is no such model, or `classes` were given for a decoder.
    """
    if is_encoder(model):
        return EncoderSubject(find_encoder(model, classes))
    if classes is not None:
        raise ExportError(
            "the classes of a decoder are its vocabulary", remedy="leave --classes away"
        )
    return DecoderSubject(find_model(model))
