"""What a run spent, up to its end or up to a target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.contract import RunResult
from experiments.phones import Fleet


@dataclass(frozen=True)
class Spent:
    """Totals over all clients and the rounds up to `rounds`; `hours` are modelled."""

    rounds: int
    probes: int
    forward_passes: int
    backward_passes: int
    examples: int
    bytes_down: int
    bytes_up: int
    hours: float

    @classmethod
    def of(cls, result: RunResult, until: int, fleet: Fleet) -> Spent:
        done = result.rounds[: until + 1]
        return cls(
            rounds=until,
            probes=sum(one.probes for one in done),
            forward_passes=sum(one.forward_passes for one in done),
            backward_passes=sum(one.backward_passes for one in done),
            examples=sum(one.examples for one in done),
            bytes_down=sum(one.bytes_down for one in done),
            bytes_up=sum(one.bytes_up for one in done),
            hours=fleet.seconds(result, until) / 3600,
        )


def by_method(results: Sequence[RunResult]) -> dict[str, list[RunResult]]:
    """The runs of each method, in the order in which methods first appear."""
    methods: dict[str, list[RunResult]] = {}
    for one in results:
        methods.setdefault(one.experiment.method, []).append(one)
    return methods
