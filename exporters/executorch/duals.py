"""Forward-mode arithmetic: a model's values and their derivatives along K directions of its LoRA.

Each rule is the derivative of the operation in slots.py, in closed form. The value is computed
once and broadcast over the directions; a derivative that is zero is absent (None), so what lies
below the first adapted layer costs what plain inference costs. The native runner has the same
rules in `android_harness/runner/src/ggml_tangent_rules.cpp`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from exporters.executorch import activations
from exporters.executorch.arithmetic import Activation
from exporters.executorch.heads import HeadShapes
from exporters.executorch.lora_inputs import Adapter, Adapters
from exporters.executorch.rotary import Rotary
from exporters.executorch.row_mean import RowMean, Spread
from exporters.executorch.slots import inner, with_mask


@dataclass(frozen=True)
class Dual:
    """A value, float32 [1, rows, width], and its tangents, [K, rows, width] or None for zero."""

    value: torch.Tensor
    tangents: torch.Tensor | None = None


class Duals:
    """Implements `Arithmetic` over `Dual`.

    Args:
        adapters: the LoRA, one copy.
        directions: K of them, as adapters.
    """

    def __init__(
        self, adapters: Adapters, directions: Adapters, row_mean: RowMean, spread: Spread
    ) -> None:
        self._adapters = adapters
        self._directions = directions
        self._row_mean = row_mean
        self._spread = spread

    def constant(self, x: torch.Tensor) -> Dual:
        return Dual(x.view(1, *x.shape))

    def linear(self, x: Dual, layer: nn.Linear, place: tuple[int, str]) -> Dual:
        value: torch.Tensor = layer(x.value)
        tangents = None
        if x.tangents is not None:
            tangents = nn.functional.linear(x.tangents, layer.weight)
        adapter = self._adapters.get(place)
        if adapter is None:
            return Dual(value, tangents)
        along = self._directions[place]
        z = inner(x.value, adapter)
        moved = self._lora_tangents(x, z, adapter, along)
        return Dual(
            value + torch.bmm(z, adapter.b.mT), moved if tangents is None else tangents + moved
        )

    def _lora_tangents(
        self, x: Dual, z: torch.Tensor, adapter: Adapter, along: Adapter
    ) -> torch.Tensor:
        """d(scale · B A x) = dB (scale · A x) + B (scale · (dA x + A dx)), as one product.

        Args:
            z: scale · A x.
        """
        copies, rows = along.a.shape[0], x.value.shape[1]
        z_tangents = inner(x.value, along)
        if x.tangents is not None:
            flat = x.tangents.reshape(1, copies * rows, -1)
            z_tangents = z_tangents + inner(flat, adapter).view(copies, rows, -1)
        factors = torch.cat([self._spread(z), z_tangents], dim=-1)
        return torch.bmm(factors, torch.cat([along.b, self._spread(adapter.b)], dim=-1).mT)

    def add(self, x: Dual, y: Dual) -> Dual:
        return Dual(x.value + y.value, _sum(x.tangents, y.tangents))

    def rms_norm(self, x: Dual, weight: torch.Tensor, epsilon: float) -> Dual:
        reciprocal = torch.rsqrt(self._row_mean(x.value * x.value) + epsilon)
        unit = x.value * reciprocal
        if x.tangents is None:
            return Dual(unit * weight)
        across = x.tangents - unit * self._row_mean(x.tangents * unit)
        return Dual(unit * weight, across * (reciprocal * weight))

    def rotate(self, x: Dual, rotary: Rotary) -> Dual:
        return Dual(rotary(x.value), None if x.tangents is None else rotary(x.tangents))

    def attention(self, q: Dual, k: Dual, v: Dual, heads: HeadShapes, mask: torch.Tensor) -> Dual:
        queries, keys, values = heads.queries(q.value), heads.keys(k.value), heads.values(v.value)
        weights = torch.softmax(with_mask(torch.bmm(queries, keys), heads, mask), dim=-1)
        output = torch.bmm(weights, values)
        scores = tangents = None
        if q.tangents is not None:
            scores = _tangent_times(heads.tangent_queries(q.tangents), keys)
        if k.tangents is not None:
            scores = _sum(scores, _times_tangent(queries, heads.tangent_keys(k.tangents)))
        if scores is not None:
            # d softmax = w ⊙ (ds − ⟨w, ds⟩); times the values, (w ⊙ ds) V − ⟨w, ds⟩ · output.
            weighed = scores * _for_all(weights)
            total = self._row_mean(weighed) * float(heads.length)
            tangents = _tangent_times(weighed, values) - total * _for_all(output)
        if v.tangents is not None:
            tangents = _sum(tangents, _times_tangent(weights, heads.tangent_values(v.tangents)))
        rows = None if tangents is None else heads.tangent_rows(tangents)
        return Dual(heads.rows(output), rows)

    def scale(self, x: Dual, factor: float) -> Dual:
        return Dual(x.value * factor, None if x.tangents is None else x.tangents * factor)

    def layer_norm(self, x: Dual, weight: torch.Tensor, bias: torch.Tensor, epsilon: float) -> Dual:
        centred = x.value - self._row_mean(x.value)
        reciprocal = torch.rsqrt(self._row_mean(centred * centred) + epsilon)
        unit = centred * reciprocal
        value = unit * weight + bias
        if x.tangents is None:
            return Dual(value)
        along = self._row_mean(x.tangents * unit)
        across = x.tangents - self._row_mean(x.tangents) - unit * along
        return Dual(value, across * (reciprocal * weight))

    def activation(self, x: Dual, activation: Activation) -> Dual:
        value = activations.value(x.value, activation)
        if x.tangents is None:
            return Dual(value)
        return Dual(value, x.tangents * activations.derivative(x.value, value, activation))

    def gate(self, gate: Dual, up: Dual) -> Dual:
        sigmoid = torch.sigmoid(gate.value)
        silu = gate.value * sigmoid
        value = silu * up.value
        by_gate = by_up = None
        if gate.tangents is not None:
            # d silu = σ + silu · (1 − σ)
            by_gate = gate.tangents * ((sigmoid + silu - silu * sigmoid) * up.value)
        if up.tangents is not None:
            by_up = up.tangents * silu
        return Dual(value, _sum(by_gate, by_up))

    def take_rows(self, x: Dual, rows: torch.Tensor) -> Dual:
        return Dual(
            torch.index_select(x.value, 1, rows),
            None if x.tangents is None else torch.index_select(x.tangents, 1, rows),
        )


def _sum(x: torch.Tensor | None, y: torch.Tensor | None) -> torch.Tensor | None:
    if x is None or y is None:
        return y if x is None else x
    return x + y


# Tangents of a matrix's rows stand below each other, [matrices, rows, K, columns]: both kinds of
# product then leave them so without moving anything.


def _for_all(x: torch.Tensor) -> torch.Tensor:
    """[matrices, rows, columns] -> [matrices, rows, 1, columns], to be broadcast."""
    return x.view(*x.shape[:2], 1, x.shape[2])


def _tangent_times(tangents: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """[matrices, m, K, n] times [matrices, n, p] -> [matrices, m, K, p]."""
    product = torch.bmm(tangents.flatten(1, 2), right)
    return product.view(*tangents.shape[:3], right.shape[2])


def _times_tangent(left: torch.Tensor, tangents: torch.Tensor) -> torch.Tensor:
    """[matrices, m, n] times [matrices, n, K, p] -> [matrices, m, K, p]."""
    product = torch.bmm(left, tangents.flatten(2, 3))
    return product.view(*left.shape[:2], *tangents.shape[2:])
