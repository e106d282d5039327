"""Policies on the same fleet and the same luck: how long their rounds really take.

Everything here is modelled: the fleet's seconds may be measured, the luck is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.allocation.contract import Allocation
from toolkit.allocation.options import Counts
from toolkit.allocation.policies import Devices, Policy


@dataclass(frozen=True)
class Luck:
    """What a round brings that no prediction knows.

    Each device's seconds are multiplied by a log-normal factor of median 1 and the fleet's own
    sigma; with probability `straggling` by `straggling_factor` as well; and the device does not
    answer at all with the probability that its availability leaves.
    """

    straggling: float = 0.0
    straggling_factor: float = 5.0

    def __post_init__(self) -> None:
        if not 0 <= self.straggling <= 1 or self.straggling_factor < 1:
            raise ValueError("straggling is a chance from 0 to 1, and its factor at least 1")


@dataclass(frozen=True)
class Outcome:
    """A policy over the trials; seconds are float64 [trials].

    `seconds` until the probes wanted had come back, infinite where too few ever did;
    `arrived_share` is the mean share of the wanted probes that came back by the deadline (or at
    all, without one), at most 1; `late_share` the mean share of working devices that were not
    done by then, absent ones included.
    """

    policy: str
    planned_s: float
    planned_probes: int
    working_devices: int
    seconds: NDArray[np.float64]
    arrived_share: float
    late_share: float

    @property
    def median_s(self) -> float:
        return float(np.quantile(self.seconds, 0.5, method="nearest"))

    @property
    def p95_s(self) -> float:
        return float(np.quantile(self.seconds, 0.95, method="nearest"))

    @property
    def complete_share(self) -> float:
        """The share of rounds in which all the probes wanted came back, however late."""
        return float(np.mean(np.isfinite(self.seconds)))


def devices_of(allocation: Allocation) -> Devices:
    """The devices of an allocation, in the setting that it chose for each."""
    rows = allocation.devices
    return Devices.of(
        np.array([row.seconds_per_probe.value for row in rows]),
        fixed=np.array([row.fixed_s for row in rows]),
        sigma=np.array([row.log_sigma for row in rows]),
        availability=np.array([row.availability for row in rows]),
    )


def compare(
    devices: Devices,
    probes: int,
    policies: Mapping[str, Policy],
    *,
    trials: int = 200,
    seed: int = 0,
    luck: Luck | None = None,
    deadline_s: float | None = None,
) -> list[Outcome]:
    """Runs every policy through the same `trials` rounds; a policy with a memory sees each.

    Raises:
        ValueError: an argument is out of range, or a policy cannot divide the probes.
    """
    if trials < 1 or probes < 1:
        raise ValueError("there is at least one trial and one probe")
    luck = luck or Luck()
    generator = np.random.default_rng(seed)
    rounds = [_draw(generator, devices, luck) for _ in range(trials)]
    return [
        _outcome(name, policy, devices, probes, rounds, deadline_s)
        for name, policy in policies.items()
    ]


def _draw(
    generator: np.random.Generator, devices: Devices, luck: Luck
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The factor on each device's seconds in one round, and who answers."""
    n = len(devices)
    factor = np.exp(devices.sigma * generator.standard_normal(n))
    factor = np.where(generator.random(n) < luck.straggling, luck.straggling_factor, 1.0) * factor
    return factor, generator.random(n) < devices.availability


def _outcome(
    name: str,
    policy: Policy,
    devices: Devices,
    probes: int,
    rounds: list[tuple[NDArray[np.float64], NDArray[np.bool_]]],
    deadline_s: float | None,
) -> Outcome:
    seconds, arrived, late, planned = [], [], [], []
    counts = np.zeros(len(devices), dtype=np.int64)
    for factor, answers in rounds:
        counts = policy(devices, probes)
        working = counts > 0
        predicted = devices.fixed + devices.seconds * counts
        planned.append(float(np.max(predicted, where=working, initial=0.0)))
        times = np.where(answers, devices.fixed + devices.seconds * counts * factor, np.inf)
        seconds.append(_time_of(times[working], counts[working], probes))
        limit = np.inf if deadline_s is None else deadline_s
        in_time = working & (times <= limit) & answers
        arrived.append(min(1.0, counts[in_time].sum() / probes))
        late.append(1 - in_time.sum() / max(working.sum(), 1))
    return Outcome(
        policy=name,
        planned_s=float(np.median(planned)),
        planned_probes=int(counts.sum()),
        working_devices=int(np.count_nonzero(counts)),
        seconds=np.array(seconds),
        arrived_share=float(np.mean(arrived)),
        late_share=float(np.mean(late)),
    )


def _time_of(times: NDArray[np.float64], counts: Counts, probes: int) -> float:
    """When `probes` had come back, each device answering once it is done with all of its own."""
    order = np.argsort(times, kind="stable")
    enough = np.searchsorted(np.cumsum(counts[order]), probes)
    return float(times[order[enough]]) if enough < len(order) else float("inf")
