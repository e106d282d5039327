"""What the PyTorch model computes: the numbers that artifacts are compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from torch import nn

from exporters.float32_layers import float32_layers
from exporters.lora.attach import lora_parameters
from exporters.lora.layout import LoraLayout, LoraTensor, parse_peft_name

# Vocabularies are large; these bound what of the output matrix and the logits is held at once.
_HEAD_ROWS = 4096
_POSITIONS = 16


class TorchReference:
    """Losses and exact slopes of a PEFT model in float32, whatever its checkpoint's dtype.

    Args:
        sequences: token ids [sequences, tokens + 1]; each token predicts its next.
    """

    def __init__(
        self, model: PeftModel, layout: LoraLayout, sequences: NDArray[np.integer]
    ) -> None:
        causal_model = model.get_base_model()
        self._backbone: Any = causal_model.model
        self._head: Any = causal_model.lm_head
        self._layout = layout
        tokens = torch.from_numpy(sequences.astype(np.int64))
        self._inputs, self._targets = tokens[:, :-1], tokens[:, 1:]

    def loss(self) -> float:
        """Mean nats per predicted token."""
        with torch.no_grad():
            return float(self._loss({}))

    def slopes(self, directions: NDArray[np.float32]) -> NDArray[np.float64]:
        """The loss's derivatives along `directions`, float32 [directions, parameters].

        Forward-mode AD, exact but for float32 rounding; the directions share the primal pass.
        """
        names = self._parameters_by_name()
        values = {name: parameter.detach().float() for name, (parameter, _) in names.items()}
        tangents = {
            name: torch.from_numpy(directions[:, tensor.slice].reshape(-1, *tensor.shape))
            for name, (_, tensor) in names.items()
        }

        def slope(tangent: dict[str, torch.Tensor]) -> torch.Tensor:
            return torch.func.jvp(self._loss, (values,), (tangent,))[1]

        with torch.no_grad():
            slopes: torch.Tensor = torch.func.vmap(slope)(tangents)
        return slopes.double().numpy()

    def _parameters_by_name(self) -> dict[str, tuple[nn.Parameter, LoraTensor]]:
        tensors = {(t.layer, t.module, str(t.matrix)): t for t in self._layout.tensors}
        found = {}
        for name, parameter in lora_parameters(self._backbone).items():
            key = parse_peft_name(name)
            assert key is not None
            found[name] = (parameter, tensors[key])
        return found

    def _loss(self, substitutes: dict[str, torch.Tensor]) -> torch.Tensor:
        """The loss with some LoRA matrices, by name, replaced."""
        with float32_layers(self._backbone):
            states = torch.func.functional_call(
                self._backbone,
                substitutes,
                kwargs={"input_ids": self._inputs, "use_cache": False},
            ).last_hidden_state
        targets = self._targets.flatten()
        losses = [
            nn.functional.cross_entropy(_logits(some, self._head), expected, reduction="sum")
            for some, expected in zip(
                states.flatten(0, 1).split(_POSITIONS), targets.split(_POSITIONS), strict=True
            )
        ]
        return torch.stack(losses).sum() / len(targets)


def _logits(states: torch.Tensor, head: nn.Linear) -> torch.Tensor:
    """float32 [positions, vocabulary], without a float32 copy of the whole head."""
    return torch.cat([states @ rows.float().T for rows in head.weight.split(_HEAD_ROWS)], dim=-1)
