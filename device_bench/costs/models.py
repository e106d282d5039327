"""What a profile predicts with: formulas over counted work, with fitted coefficients."""

from __future__ import annotations

from pydantic import NonNegativeFloat, PositiveInt

from device_bench.costs.work import Held, Work
from exporters.contract import Part


class CostModel(Part):
    """Seconds of measuring the slopes of D directions together.

    seconds = fixed_s · passes + s_per_weight_byte · weight bytes + s_per_flop · FLOPs
    + s_per_attention_flop · attention FLOPs + s_per_moved_parameter · moved parameters

    with the counts of `Work`. Their coefficients are of one backend in one placement of threads:
    1 / s_per_flop is what it attains in products, 1 / s_per_weight_byte what it reads of weights.
    """

    fixed_s: NonNegativeFloat
    s_per_weight_byte: NonNegativeFloat
    s_per_flop: NonNegativeFloat
    s_per_attention_flop: NonNegativeFloat
    s_per_moved_parameter: NonNegativeFloat
    # Leave-one-arm-out, of seconds per probe; None when a single arm was measured.
    median_relative_error: NonNegativeFloat | None
    # Terms that the measured arms do not tell apart: what is predicted of settings in which they
    # change otherwise than in the arms is a guess.
    undetermined: tuple[str, ...] = ()

    def seconds(self, work: Work) -> float:
        return (
            self.fixed_s * work.passes
            + self.s_per_weight_byte * work.weight_bytes
            + self.s_per_flop * work.flops
            + self.s_per_attention_flop * work.attention_flops
            + self.s_per_moved_parameter * work.moved_parameters
        )


class MemoryModel(Part):
    """Peak bytes of a process that measures slopes (VmHWM).

    bytes = (base_bytes + bytes_per_column · columns + bytes_per_pair · pairs
    + bytes_per_parameter · parameters) · (1 + margin)

    with the counts of `Held`; `base_bytes` are the weights and the runtime. `margin` is how far the
    arm that lies highest above the fit lies above it, so no measured arm is predicted too low.
    """

    base_bytes: NonNegativeFloat
    bytes_per_column: NonNegativeFloat
    bytes_per_pair: NonNegativeFloat
    bytes_per_parameter: NonNegativeFloat
    margin: NonNegativeFloat
    median_relative_error: NonNegativeFloat | None  # leave-one-arm-out, without the margin
    arms: PositiveInt

    def peak_bytes(self, held: Held) -> float:
        fitted = (
            self.base_bytes
            + self.bytes_per_column * held.columns
            + self.bytes_per_pair * held.pairs
            + self.bytes_per_parameter * held.parameters
        )
        return fitted * (1 + self.margin)
