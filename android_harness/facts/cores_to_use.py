"""Which cores to run on."""

from __future__ import annotations

from collections.abc import Sequence

from android_harness.facts.cpu import CpuCluster


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
    """The same as a mask for `taskset` and --cpu-mask, e.g. `0xf0`; None: cores are unknown."""
    cores = fastest_cores(clusters)
    return hex(sum(1 << core for core in cores)) if cores else None


def _relative_speed(cluster: CpuCluster, fastest: CpuCluster) -> float | None:
    """By the kernel's capacities, else by frequency."""
    if cluster.capacity and fastest.capacity:
        return cluster.capacity / fastest.capacity
    if cluster.max_frequency_khz and fastest.max_frequency_khz:
        return cluster.max_frequency_khz / fastest.max_frequency_khz
    return None
