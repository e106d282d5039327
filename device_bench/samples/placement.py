"""Of several placements of the same arms, the one on which a device is fastest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from device_bench.costs.setting import Setting
from device_bench.profiles.profile import Placement
from device_bench.samples.measurement import Measurement

_Key = tuple[int, str | None]  # as `Arm.placement`


def compare_placements(measurements: Sequence[Measurement]) -> tuple[Placement, ...]:
    """All measured placements of one backend, the fastest first: it is the chosen one.

    They are compared by the geometric mean of the arms that all of them have measured, so that no
    arm weighs more because it is longer. Where they share none, as in a sweep that was interrupted
    early, the one with the most arms is chosen, and nothing is said about their speed.

    Args:
        measurements: at least one.
    """
    seconds = _median_seconds(measurements)
    shared = sorted(set.intersection(*(set(of) for of in seconds.values())), key=repr)
    means = {
        placement: float(np.exp(np.mean([np.log(of[work]) for work in shared])))
        for placement, of in seconds.items()
        if shared
    }
    if means:
        ranked = sorted(seconds, key=lambda placement: means[placement])
    else:
        ranked = sorted(seconds, key=lambda placement: -len(seconds[placement]))
    return tuple(
        Placement(
            threads=threads,
            cpu_mask=mask,
            relative_seconds=means[threads, mask] / means[ranked[0]] if means else None,
            arms=len(shared),
            chosen=(threads, mask) == ranked[0],
        )
        for threads, mask in ranked
    )


def on_placement(measurements: Sequence[Measurement], chosen: Placement) -> list[Measurement]:
    """Those that were measured there."""
    wanted = (chosen.threads, chosen.cpu_mask)
    return [each for each in measurements if each.arm.placement == wanted]


def _median_seconds(
    measurements: Sequence[Measurement],
) -> dict[_Key, Mapping[Setting, float]]:
    """By placement and work, over all steady repetitions."""
    values: dict[_Key, dict[Setting, list[float]]] = defaultdict(lambda: defaultdict(list))
    for each in measurements:
        values[each.arm.placement][each.arm.setting] += each.steady_seconds
    return {
        placement: {work: float(np.median(seconds)) for work, seconds in of.items()}
        for placement, of in values.items()
    }
