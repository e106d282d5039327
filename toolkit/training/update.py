"""What a round's slopes do to the values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from toolkit.forward_gradient import Values, exact_norm, forward_gradient
from toolkit.server_update import RoundState, coefficients
from toolkit.training.contract import TrainingConfig


@dataclass(frozen=True)
class Update:
    """One coefficient per seed, float32 [probes], with the norms that led to them."""

    seeds: tuple[int, ...]
    coefficients: Values
    gradient_norm: float
    values_norm: float
    step_norm: float

    @property
    def pairs(self) -> list[tuple[int, float]]:
        return list(zip(self.seeds, self.coefficients.tolist(), strict=True))


def plan_update(
    config: TrainingConfig,
    round_number: int,
    values: Values,
    *,
    seeds: Sequence[int],
    slopes: Values,
) -> Update:
    """The update of a round from its accepted probes; the same bits on every machine."""
    gradient_norm = exact_norm(forward_gradient(seeds, slopes, len(values)))
    values_norm = exact_norm(values)
    length = config.update.length(
        RoundState(
            round_number=round_number,
            rounds=config.rounds,
            probes=len(seeds),
            parameters=len(values),
            values_norm=values_norm,
            gradient_norm=gradient_norm,
        )
    )
    return Update(
        seeds=tuple(seeds),
        coefficients=coefficients(slopes, length),
        gradient_norm=gradient_norm,
        values_norm=values_norm,
        step_norm=length * gradient_norm,
    )
