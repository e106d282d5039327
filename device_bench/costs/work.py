"""The work of measuring slopes, counted from what a bundle computes and not from any clock.

A `ModelShape` is what of a bundle decides its work; it is kept in the profile, so that whoever
reads one can price a setting without the bundle. FLOPs are of products, a multiplication and an
addition each; norms, activations and rotations go along with them.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from device_bench.costs.program_runs import ProgramSize, runs_of
from device_bench.costs.setting import Layers, LossPositions, Setting
from exporters.contract import Part

# Columns of tangents that ggml's runner takes through a layer together (`tangent_pass.cpp`).
_TANGENT_COLUMNS = 256


@dataclass(frozen=True)
class Work:
    """What it takes to measure the slopes of D directions together.

    Attributes:
        passes: through the model, or runs of programs.
        weight_bytes: frozen weights that are read, as often as products go through them.
        flops: of products with frozen weights and with LoRA, over all columns.
        attention_flops: of scores and of the values that they weigh: quadratic in the tokens.
        moved_parameters: LoRA parameters that are made and perturbed, over all copies.
    """

    passes: float
    weight_bytes: float
    flops: float
    attention_flops: float
    moved_parameters: float

    def over(self, directions: int) -> Work:
        """The share of one of so many slopes."""
        return Work(*(count / directions for count in astuple(self)))


@dataclass(frozen=True)
class Held:
    """What a process holds in memory while it measures them.

    Attributes:
        columns: tokens of all copies that are in a layer together.
        pairs: of tokens, of the copies whose scores are held.
        parameters: of the LoRA, of the copies that are held.
    """

    columns: float
    pairs: float
    parameters: float


class ModelShape(Part):
    """What of a bundle, and of where its losses are taken, decides the work of a slope.

    `input_flops` are those of a layer's products before its attention (q, k, v), a part of
    `layer_flops`. In the last layer, where only some positions have a loss, only these go beyond
    attention. Without `programs` any size is computed as it is, as ggml's runner does.
    """

    layers: PositiveInt
    adapted_layers: tuple[NonNegativeInt, ...]  # ascending; none: which are is not known
    layer_flops: NonNegativeFloat  # of a token in a layer, its LoRA included
    input_flops: NonNegativeFloat
    pair_flops: NonNegativeFloat  # of a pair of tokens in a layer's attention
    # `pair_flops` of a tangent over those of a copy: both factors of a product have a derivative.
    tangent_pairs: NonNegativeFloat
    # Of its scores: a causal attention skips tiles above the diagonal. 0: all pairs are computed.
    attention_tile: NonNegativeInt
    output_flops: NonNegativeFloat  # of a position that has a loss
    layer_weight_bytes: NonNegativeFloat
    output_weight_bytes: NonNegativeFloat
    lora_parameters: NonNegativeInt  # of all adapted layers
    loss_positions: LossPositions
    programs: tuple[ProgramSize, ...] = ()

    def work(self, setting: Setting) -> Work | None:
        """None: the bundle cannot run the setting, or what of its layers moves is not known."""
        moving = self._moving(setting.layers)
        if moving is None:
            return None
        if self.programs:
            return self._work_of_programs(setting)
        return self._work_of_any_size(setting, *moving)

    @property
    def keeps_frozen_layers(self) -> bool:
        """Whether layers below the first that moves are computed once; programs run them all."""
        return not self.programs

    def held(self, setting: Setting) -> Held | None:
        """None: as for `work`."""
        if self._moving(setting.layers) is None:
            return None
        if self.programs:
            return self._held_by_programs(setting)
        tokens, directions = setting.batch * setting.tokens, setting.directions_per_pass
        together = _tangents_together(tokens, directions)
        copies = 1 + together if setting.estimator == "tangent" else directions
        return Held(
            columns=copies * tokens,
            pairs=copies * tokens * setting.tokens,
            parameters=directions * self.lora_parameters,
        )

    def _moving(self, layers: Layers | None) -> tuple[int, float] | None:
        """The first layer that moves, and the share of the LoRA that does."""
        if layers is None:
            return (self.adapted_layers[0] if self.adapted_layers else 0), 1.0
        inside = [layer for layer in self.adapted_layers if layers[0] <= layer <= layers[1]]
        return (inside[0], len(inside) / len(self.adapted_layers)) if inside else None

    def _positions(self, setting: Setting) -> int:
        """Of one example that have a loss."""
        return 1 if self.loss_positions == "last" else setting.tokens

    def _copy_flops(self, layers: int, tokens: int, positions: int) -> float:
        """Of one copy of the batch in the upper `layers` layers and the output."""
        skipped = (tokens - positions) * (self.layer_flops - self.input_flops)
        return layers * tokens * self.layer_flops - skipped + positions * self.output_flops

    def _pairs(self, tokens: int, tangent: bool) -> int:
        """Pairs of tokens of an example whose scores are computed.

        Examples shorter than a tile go pair by pair, and so do all under our own kernel, that of
        tangents (`cpu_tangent_rules.cpp`).
        """
        if self.attention_tile == 0:
            return tokens**2
        if tangent or tokens < self.attention_tile:
            return tokens * (tokens + 1) // 2
        tiles = math.ceil(tokens / self.attention_tile)
        return self.attention_tile**2 * tiles * (tiles + 1) // 2

    def _work_of_any_size(self, setting: Setting, first: int, share: float) -> Work:
        """Layers below the first that moves are computed once and kept.

        Differences go through the weights once a pass, for all its copies together. Tangents do in
        groups of up to 256 columns, after the point itself; in the first layer that moves they
        begin behind the products of q, k and v.
        """
        layers = self.layers - first
        tokens, directions = setting.batch * setting.tokens, setting.directions_per_pass
        weights = layers * self.layer_weight_bytes + self.output_weight_bytes
        copy = self._copy_flops(layers, tokens, setting.batch * self._positions(setting))
        tangent = setting.estimator == "tangent"
        pairs = layers * setting.batch * self._pairs(setting.tokens, tangent) * self.pair_flops
        columns, moved = setting.columns, share * self.lora_parameters
        if not tangent:
            passes = columns // directions
            return Work(passes, passes * weights, columns * copy, columns * pairs, columns * moved)
        groups = math.ceil(directions / _tangents_together(tokens, directions))
        return Work(
            passes=1,
            weight_bytes=(1 + groups) * weights,
            flops=copy + directions * (copy - tokens * self.input_flops),
            attention_flops=(1 + directions * self.tangent_pairs) * pairs,
            moved_parameters=directions * moved,
        )

    def _work_of_programs(self, setting: Setting) -> Work | None:
        """Of the runs of programs, padding included; they compute all layers, whichever move."""
        runs = list(runs_of(self.programs, setting, self._positions(setting)))
        if not runs:
            return None
        weights = self.layers * self.layer_weight_bytes + self.output_weight_bytes
        reads = flops = pairs = 0.0
        for run in runs:
            tangent = run.kind == "tangent"
            reads += 2 if tangent else 1
            flops += run.copies * self._copy_flops(self.layers, run.tokens, run.positions)
            weighed = 1 + run.slots * self.tangent_pairs if tangent else run.slots
            pairs += weighed * self.layers * run.tokens * run.length * self.pair_flops
        # Copies are written once for all runs of a program that follow each other.
        moved = len(set(runs)) * setting.columns * self.lora_parameters
        return Work(len(runs), reads * weights, flops, pairs, moved)

    def _held_by_programs(self, setting: Setting) -> Held | None:
        """Programs stay in memory once they were loaded, so those of a setting add up."""
        used = set(runs_of(self.programs, setting, self._positions(setting)))
        if not used:
            return None
        return Held(
            columns=sum(each.copies * each.tokens for each in used),
            pairs=sum(each.copies * each.tokens * each.length for each in used),
            parameters=sum(each.slots * self.lora_parameters for each in used),
        )


def _tangents_together(tokens: int, directions: int) -> int:
    """Directions whose tangents go through a layer together, each with so many tokens."""
    return max(1, min(_TANGENT_COLUMNS // tokens, directions))
