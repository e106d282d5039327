"""The programs of a bundle: what one run of a `.pte` method computes."""

from __future__ import annotations

import torch
from torch import nn

from exporters.executorch.cross_entropy import loss_slopes, weighted_losses
from exporters.executorch.duals import Dual, Duals
from exporters.executorch.lora_inputs import adapters_of
from exporters.executorch.lower import PROGRAM_NAME
from exporters.executorch.model import Model
from exporters.executorch.row_mean import RowMean, Spread
from exporters.executorch.sizes import Kind, Sizes, method_name
from exporters.executorch.slots import Slots
from exporters.lora.layout import LoraLayout
from exporters.manifest import Delegation, Program, ProgramTensor


class _Sized(nn.Module):
    """A model at fixed sizes."""

    def __init__(self, model: Model, layout: LoraLayout, sizes: Sizes) -> None:
        super().__init__()
        self.model = model
        self._layout = layout
        self.frame = model.frame(sizes.batch, sizes.length)
        self._row_mean = RowMean(*{*model.widths, sizes.length})
        self._spread = Spread(sizes.slots)


class LossProgram(_Sized):
    """Losses of K copies of a model that differ in their LoRA."""

    def forward(
        self,
        tokens: torch.Tensor,
        second: torch.Tensor,
        targets: torch.Tensor,
        weights: torch.Tensor,
        logit_bias: torch.Tensor,
        lora: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(losses float32 [K], predictions int64 [P]); inputs as in docs/export.md."""
        slots = Slots(adapters_of(lora, self._layout), self._row_mean, self._spread)
        states = self.model(slots, self.frame, tokens, second)
        logits = self.model.head(states) + logit_bias
        return weighted_losses(logits, targets, weights)


class TangentProgram(_Sized):
    """The loss of a model and its exact slopes along K directions of its LoRA."""

    def forward(
        self,
        tokens: torch.Tensor,
        second: torch.Tensor,
        targets: torch.Tensor,
        weights: torch.Tensor,
        logit_bias: torch.Tensor,
        lora: torch.Tensor,
        directions: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(loss float32 [1], slopes float32 [K]); inputs as in docs/export.md."""
        duals = Duals(
            adapters_of(lora.view(1, -1), self._layout),
            adapters_of(directions, self._layout),
            self._row_mean,
            self._spread,
        )
        states: Dual = self.model(duals, self.frame, tokens, second)
        assert states.tangents is not None, "a layout adapts at least one layer"
        logits = self.model.head(states.value) + logit_bias
        loss, _ = weighted_losses(logits, targets, weights)
        by_position = states.tangents.permute(1, 0, 2)
        tangents = nn.functional.linear(by_position, self.model.head.weight)
        probabilities = torch.softmax(logits.view(logits.shape[1:]), dim=-1)
        return loss, loss_slopes(probabilities, tangents, targets, weights)


def program_module(kind: Kind, model: Model, layout: LoraLayout, sizes: Sizes) -> nn.Module:
    """The module of a program."""
    return {"loss": LossProgram, "tangent": TangentProgram}[kind](model, layout, sizes)


def inputs_of(kind: Kind, sizes: Sizes, model: Model, parameters: int) -> dict[str, torch.Tensor]:
    """An example of every input of a program, in order."""
    shared = {
        "tokens": torch.zeros(sizes.batch, sizes.length, dtype=torch.int64),
        model.second_input: model.second_input_of(sizes),
        "targets": torch.zeros(sizes.positions, dtype=torch.int64),
        "weights": torch.zeros(sizes.positions),
        "logit_bias": torch.zeros(model.classes),
    }
    if kind == "loss":
        return shared | {"lora": torch.zeros(sizes.slots, parameters)}
    return shared | {
        "lora": torch.zeros(parameters),
        "directions": torch.zeros(sizes.slots, parameters),
    }


def outputs_of(kind: Kind, sizes: Sizes) -> dict[str, torch.Tensor]:
    """An example of every output of a program, in order."""
    if kind == "loss":
        return {
            "losses": torch.zeros(sizes.slots),
            "predictions": torch.zeros(sizes.positions, dtype=torch.int64),
        }
    return {"loss": torch.zeros(1), "slopes": torch.zeros(sizes.slots)}


def describe(
    kind: Kind, sizes: Sizes, model: Model, layout: LoraLayout, delegation: Delegation
) -> Program:
    """A program's entry in the manifest."""
    return Program(
        file=PROGRAM_NAME,
        method=method_name(kind, sizes),
        kind=kind,
        batch=sizes.batch,
        length=sizes.length,
        positions=sizes.positions,
        slots=sizes.slots,
        inputs=_tensors(inputs_of(kind, sizes, model, layout.parameters)),
        outputs=_tensors(outputs_of(kind, sizes)),
        delegation=delegation,
    )


def _tensors(tensors: dict[str, torch.Tensor]) -> tuple[ProgramTensor, ...]:
    return tuple(
        ProgramTensor(
            name=name,
            dtype="float32" if tensor.dtype == torch.float32 else "int64",
            shape=tuple(tensor.shape),
        )
        for name, tensor in tensors.items()
    )
