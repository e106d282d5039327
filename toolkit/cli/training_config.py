"""From the options of `fwdllm train` to the configuration of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from android_harness.job import Estimator
from toolkit.cli.rules import rule
from toolkit.training.methods import Method, settings_of

_TANGENTS_AT_ONCE = 8

Baseline = Literal["fedavg", "fedsgd"]


@dataclass(frozen=True)
class RuleOptions:
    """What the server's rules are to be, as typed; None leaves it to the method."""

    method: Method
    estimator: Estimator | None
    epsilon: float | None
    pacing: str | None
    sampling: str | None
    update: str | None
    aggregation: str | None
    head: str | None
    guard: bool
    clip: float | None
    noise: float

    def settings(self) -> dict[str, Any]:
        """The fields of `TrainingConfig` that are decided here.

        Raises:
            typer.BadParameter: no such rule.
        """
        from toolkit.pacing.rules import Pacing
        from toolkit.privacy.slope_noise import SlopeNoise
        from toolkit.robust.admission import AdmissionRules
        from toolkit.robust.aggregation import Aggregation
        from toolkit.sampling.rules import Sampling
        from toolkit.server_update.guard import DivergenceGuard
        from toolkit.server_update.head import HeadRule
        from toolkit.server_update.rules import UpdateRule

        chosen = {
            "estimator": self.estimator,
            "epsilon": self.epsilon,
            "pacing": rule(Pacing, self.pacing),
            "sampling": rule(Sampling, self.sampling),
            "update": rule(UpdateRule, self.update),
            "aggregation": rule(Aggregation, self.aggregation),
            "head": rule(HeadRule, self.head),
            "guard": DivergenceGuard() if self.guard else None,
        }
        if self.clip is not None:
            chosen["privacy"] = SlopeNoise(clip=self.clip, multiplier=self.noise)
            chosen["admission"] = AdmissionRules(loss="withheld")
        given = {name: value for name, value in chosen.items() if value is not None}
        return settings_of(self.method) | given


def directions_at_once(settings: dict[str, Any]) -> int:
    """Of a pass, where nobody chose: copies gain little by sharing one, tangents share a primal."""
    return _TANGENTS_AT_ONCE if settings["estimator"] == "tangent" else 1
