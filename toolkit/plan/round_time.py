"""How long a method's rounds last on a fleet, and what they take out of its batteries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.allocation.makespan import makespan, minimum_makespan
from toolkit.allocation.options import Counts
from toolkit.allocation.policies import Devices, uniform
from toolkit.plan.backprop import BackpropRule
from toolkit.plan.convergence import ConvergenceRow
from toolkit.plan.device_cost import DeviceCost

_DRAWS = 200


@dataclass(frozen=True)
class RunCost:
    """Of a whole run on the fleet; `joules` None: some device's power is not known."""

    seconds: float
    joules: float | None


def run_cost(
    devices: Sequence[DeviceCost],
    row: ConvergenceRow,
    rule: BackpropRule,
    *,
    link_bits_per_s: float | None,
    fixed_s: float,
    seed: int = 0,
) -> RunCost:
    """The run's rounds on `row.clients` devices each, drawn anew where the fleet has more.

    Where it has fewer, they share the work of all the run's clients. A round lasts until its last
    device is done; all rounds are alike.

    Args:
        fixed_s: seconds per round and device before its work.
        seed: of the draws.
    """
    participants = min(row.clients, len(devices))
    work = _Work.of(row, rule, participants, link_bits_per_s, fixed_s)
    arrays = _Arrays.of(devices)
    if participants == len(devices):
        rounds = [_round(arrays, np.arange(len(devices)), work, row)]
    else:
        generator = np.random.default_rng(seed)
        rounds = [
            _round(arrays, generator.choice(len(devices), participants, replace=False), work, row)
            for _ in range(_DRAWS)
        ]
    joules = None
    if not np.any(np.isnan(arrays.watts)):
        joules = float(np.mean([each.joules for each in rounds])) * row.rounds
    return RunCost(float(np.mean([each.seconds for each in rounds])) * row.rounds, joules)


@dataclass(frozen=True)
class _Work:
    """One round: probes over all devices; forward passes, and seconds of waiting, of each."""

    probes: int
    passes: float
    idle_s: float

    @classmethod
    def of(
        cls,
        row: ConvergenceRow,
        rule: BackpropRule,
        participants: int,
        link_bits_per_s: float | None,
        fixed_s: float,
    ) -> _Work:
        shares = row.rounds * participants
        link = (row.bytes_down + row.bytes_up) / shares * 8
        # A forward probe's base pass is paid once a round and device.
        base = 1.0 if row.probes and row.estimator == "forward" else 0.0
        return cls(
            probes=math.ceil(row.probes / row.rounds),
            passes=(row.forward_passes + rule.forward_passes * row.bp_steps) / shares + base,
            idle_s=fixed_s + (link / link_bits_per_s if link_bits_per_s is not None else 0.0),
        )


@dataclass(frozen=True)
class _Arrays:
    """float64 [devices]; `watts` NaN where unknown, `probe_s` 1 where there are no probes."""

    probe_s: NDArray[np.float64]
    pass_s: NDArray[np.float64]
    watts: NDArray[np.float64]

    @classmethod
    def of(cls, devices: Sequence[DeviceCost]) -> _Arrays:
        return cls(
            np.array([d.probe_s.value if d.probe_s is not None else 1.0 for d in devices]),
            np.array([d.pass_s for d in devices]),
            np.array([math.nan if d.watts is None else d.watts for d in devices]),
        )


@dataclass(frozen=True)
class _Round:
    seconds: float
    joules: float


def _round(arrays: _Arrays, chosen: Counts, work: _Work, row: ConvergenceRow) -> _Round:
    probe_s = arrays.probe_s[chosen]
    plain = arrays.pass_s[chosen] * work.passes
    fixed = plain + work.idle_s
    counts = np.zeros(len(chosen), dtype=np.int64)
    if work.probes and row.division == "makespan":
        counts = minimum_makespan(probe_s, fixed, np.full(len(chosen), work.probes), work.probes)
    elif work.probes:
        counts = uniform(Devices.of(probe_s), work.probes)
    # Everybody does the plain passes, also those without a probe.
    seconds = max(makespan(probe_s, fixed, counts), float(fixed.max()))
    busy = plain + probe_s * counts
    return _Round(seconds, float(np.sum(busy * arrays.watts[chosen])))
