"""What a PyTorch encoder classifier computes: the numbers that artifacts are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel

from exporters.lora.attach import lora_parameters
from exporters.lora.layout import LoraLayout, parse_peft_name

_SHORTEST_SHARE = 2  # padding: lengths are between 1 / this of the longest, and the longest


@dataclass(frozen=True)
class LabelledBatch:
    """Random sequences, padded on the right.

    Args:
        tokens: int64 [sequences, length].
        mask: float32 [sequences, length], 1 for a token, 0 for padding.
        classes: int64 [sequences].
    """

    tokens: NDArray[np.int64]
    mask: NDArray[np.float32]
    classes: NDArray[np.int64]

    @classmethod
    def random(
        cls, sequences: int, length: int, vocabulary: int, classes: int, padding: int, seed: int
    ) -> LabelledBatch:
        generator = np.random.default_rng(seed)
        lengths = generator.integers(max(1, length // _SHORTEST_SHARE), length + 1, size=sequences)
        lengths[0] = length
        mask = np.arange(length) < lengths[:, None]
        tokens = generator.integers(vocabulary, size=(sequences, length))
        # A padding token inside a sequence would move RoBERTa's positions.
        tokens = np.where(tokens == padding, (padding + 1) % vocabulary, tokens)
        return cls(
            np.where(mask, tokens, padding).astype(np.int64),
            mask.astype(np.float32),
            generator.integers(classes, size=sequences),
        )


class EncoderReference:
    """Losses and exact slopes of a PEFT classifier in float32."""

    def __init__(self, model: PeftModel, layout: LoraLayout, batch: LabelledBatch) -> None:
        self._model: Any = model
        self._layout = layout
        self._tokens = torch.from_numpy(batch.tokens)
        self._mask = torch.from_numpy(batch.mask)
        self._classes = torch.from_numpy(batch.classes)

    def loss(self) -> float:
        """Mean nats per sequence."""
        with torch.no_grad():
            return float(self._loss({}))

    def slopes(self, directions: NDArray[np.float32]) -> NDArray[np.float64]:
        """The loss's derivatives along `directions`, float32 [directions, parameters]."""
        tensors = {(t.layer, t.module, str(t.matrix)): t for t in self._layout.tensors}
        parameters = lora_parameters(self._model)
        places = {name: tensors[key] for name in parameters if (key := parse_peft_name(name))}
        values = {name: parameter.detach() for name, parameter in parameters.items()}
        found = []
        with torch.no_grad():
            for direction in directions:
                tangent = {
                    name: torch.from_numpy(direction[place.slice].reshape(place.shape))
                    for name, place in places.items()
                }
                found.append(float(torch.func.jvp(self._loss, (values,), (tangent,))[1]))
        return np.array(found)

    def _loss(self, substitutes: dict[str, torch.Tensor]) -> torch.Tensor:
        inputs = {"input_ids": self._tokens, "attention_mask": self._mask}
        logits = torch.func.functional_call(self._model, substitutes, kwargs=inputs).logits
        return torch.nn.functional.cross_entropy(logits, self._classes)
