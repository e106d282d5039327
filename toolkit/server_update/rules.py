"""The choice of update rules, and how a round's answers become an update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from exporters.lora.support import ParameterLayout
from toolkit.gradient.forward_gradient import Measured
from toolkit.robust.aggregation import Aggregation, Mean
from toolkit.server_update.guided import GuidedStep
from toolkit.server_update.memory import GRADIENT
from toolkit.server_update.momentum import MomentumStep
from toolkit.server_update.sgd import SgdStep
from toolkit.server_update.state import Plan, RoundState
from toolkit.server_update.trust_ratio import TrustRatioStep
from toolkit.server_update.yogi import YogiStep

UpdateRule = Annotated[
    SgdStep | TrustRatioStep | MomentumStep | GuidedStep | YogiStep, Field(discriminator="kind")
]


def plan(
    rule: UpdateRule,
    state: RoundState,
    measured: Sequence[Measured],
    layout: ParameterLayout,
    guide_slopes: Sequence[float] = (),
    aggregation: Aggregation = Mean(),  # noqa: B008
) -> Plan:
    """The update of a round; the same bits on every machine.

    The plan's memory also holds the round's estimate of the gradient, as `GRADIENT`.

    Args:
        measured: the admitted answers of the round; none: the plan moves nothing along probes.
        guide_slopes: where `rule.wants_guide` and the replica has a memory, one slope per client
            along it, measured at `state.replica.values` for
            `Order.along = Along(keep=1, combinations=())`.

    Raises:
        TrainingError: the rule and the aggregation do not go together.
    """
    estimate = aggregation.estimate(measured, layout)
    planned = rule.plan(state, estimate, aggregation.scalars(guide_slopes))
    return replace(planned, memory=planned.memory.with_arrays(**{GRADIENT: estimate.gradient}))
