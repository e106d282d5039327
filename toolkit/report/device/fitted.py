"""Arms beside what the cost model says of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from device_bench.costs.work import Work
from device_bench.profiles.profile import ArmSummary, BackendProfile

# As many as colours, so that no pair of both comes twice in 16 kinds.
MARKERS = "osDv"


@dataclass(frozen=True)
class Fitted:
    """An arm beside what the model says of it; `work` and both seconds are per probe."""

    arm: ArmSummary
    work: Work
    modelled: float

    @property
    def measured(self) -> float:
        return self.arm.seconds_per_probe.value

    @property
    def gigaflops(self) -> float:
        """Of products with weights and LoRA, which is what the term per FLOP is of."""
        return self.work.flops / 1e9

    @property
    def residual(self) -> float:
        return self.measured / self.modelled - 1


def fitted_arms(backend: BackendProfile, *, tangents: bool) -> Iterator[Fitted]:
    """Those that are tangents, or those that are not, as far as the model knows them."""
    for arm in backend.arms:
        work = backend.shape.work(arm.setting) if backend.shape is not None else None
        modelled = backend.modelled_seconds(arm.setting)
        if (arm.estimator == "tangent") == tangents and work is not None and modelled:
            yield Fitted(arm, work.over(arm.directions_per_pass), modelled)


def by_kind(arms: Sequence[Fitted]) -> Iterator[tuple[int, str, list[Fitted]]]:
    """Arms of one estimator and number of directions at once: number, name and arms."""
    kinds = dict.fromkeys((fit.arm.estimator, fit.arm.directions_per_pass) for fit in arms)
    for number, kind in enumerate(kinds):
        own = [fit for fit in arms if (fit.arm.estimator, fit.arm.directions_per_pass) == kind]
        yield number, f"{kind[0]} K{kind[1]}", own
