"""From what a round measured to its update: a function of the log alone, so that it replays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from exporters.lora.support import ParameterLayout
from toolkit.errors import TrainingError
from toolkit.gradient.forward_gradient import Values
from toolkit.server_update.head import HeadGradient, plan_head
from toolkit.server_update.rules import plan
from toolkit.server_update.state import Plan, RoundState
from toolkit.training.contract import AlongSlope, Measurement, TrainingConfig


def plan_round(
    config: TrainingConfig,
    state: RoundState,
    measurements: Sequence[Measurement],
    along: Sequence[AlongSlope],
    head_gradient: Values | None,
    layout: ParameterLayout,
) -> Plan:
    """The round's plan, with the head's update behind that of the probes.

    Args:
        head_gradient: the clients' mean, where they measured it.

    Raises:
        TrainingError: the update would never leave values that are all 0.
    """
    planned = plan(
        config.update,
        state,
        [one.measured(state.round_number) for one in measurements],
        layout,
        [one.slope for one in along if one.of == "momentum"],
        config.aggregation,
    )
    if planned.values_norm == 0 and planned.step_norm == 0 and planned.gradient_norm > 0:
        raise TrainingError(
            f"all values that move are 0, and {config.update.kind} moves them by a share of that",
            remedy="take the update sgd or yogi, or start from other values",
        )
    if config.head is None or head_gradient is None:
        return planned
    state = replace(state, memory=planned.memory)
    head = plan_head(config.head, state, [HeadGradient(head_gradient)], layout)
    if head is None:
        return planned
    update = replace(planned.update, overwrites=(*planned.update.overwrites, head.overwrite))
    return replace(planned, update=update, memory=head.memory)
