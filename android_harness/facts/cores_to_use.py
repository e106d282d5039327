"""Which cores to run on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from android_harness.facts.cpu import CpuCluster

# The fastest together, those of a cluster's kind, or `big`: all but efficiency cores.
CoresName = Literal["fastest", "prime", "performance", "big", "efficiency"]


def fastest_cores(clusters: Sequence[CpuCluster]) -> tuple[int, ...]:
    """The big cores, and the middle ones where they help; all where no cluster is faster.

    Engines split their work evenly, and threads wait for the slowest. From the fastest cluster
    on, the next one is taken as long as more cores at its speed beat fewer at the speed before.
    Efficiency cores are left out wherever there are others. Modelled, not measured: a sweep
    tells which mask is best.

    Args:
        clusters: slowest first, as in `DeviceFacts.clusters`.
    """
    candidates = [cluster for cluster in clusters if cluster.kind != "efficiency"] or list(clusters)
    taken: list[int] = []
    best = 0.0
    for cluster in reversed(candidates):
        cores = [*taken, *cluster.cores]
        speed = _relative_speed(cluster, candidates[-1])
        if taken and (speed is None or len(cores) * speed <= best):
            break
        taken, best = cores, len(cores) * (speed or 1.0)
    return tuple(sorted(taken))


def fastest_cores_mask(clusters: Sequence[CpuCluster]) -> str | None:
    """The same as a mask for `taskset`, e.g. `0xf0`; None: cores are unknown."""
    return mask_of(fastest_cores(clusters))


def named_cores(name: CoresName, clusters: Sequence[CpuCluster]) -> tuple[int, ...]:
    """The cores that a name stands for on this device; none where it has no such cluster.

    `big` cores are known where every cluster's kind is.
    """
    if name == "fastest":
        return fastest_cores(clusters)
    if name == "big":
        if any(cluster.kind is None for cluster in clusters):
            return ()
        chosen = [cluster for cluster in clusters if cluster.kind != "efficiency"]
    else:
        chosen = [cluster for cluster in clusters if cluster.kind == name]
    return tuple(sorted(core for cluster in chosen for core in cluster.cores))


def mask_of(cores: Iterable[int]) -> str | None:
    """The hexadecimal mask of these cores; None: there are none."""
    bits = sum(1 << core for core in set(cores))
    return hex(bits) if bits else None


def _relative_speed(cluster: CpuCluster, fastest: CpuCluster) -> float | None:
    """By the kernel's capacities, else by frequency."""
    if cluster.capacity and fastest.capacity:
        return cluster.capacity / fastest.capacity
    if cluster.max_frequency_khz and fastest.max_frequency_khz:
        return cluster.max_frequency_khz / fastest.max_frequency_khz
    return None
