"""How fast devices compute and read memory, by what they are; modelled, to compare them."""

from __future__ import annotations

from dataclasses import dataclass

from android_harness.facts.cpu import CpuCluster
from android_harness.facts.device_facts import DeviceFacts
from device_bench.errors import PopulationError
from device_bench.population.core_designs import Arithmetic, CoreDesign, core_design


@dataclass(frozen=True)
class DeviceSpeed:
    """What `threads` cores of a device do.

    Attributes:
        per_second: multiply-accumulates of all of them together.
        gb_per_s: of its memory.
        clock_khz: of the slowest of these cores.
        sources: where `clock_khz` and the design of the cores are from.
    """

    threads: int
    per_second: float
    gb_per_s: float
    clock_khz: float
    clock_source: str
    design_source: str


@dataclass(frozen=True)
class _Core:
    per_second: float
    clock_khz: float
    clock_source: str
    design: CoreDesign


def device_speed(
    facts: DeviceFacts,
    arithmetic: Arithmetic,
    *,
    threads: int | None = None,
    clock_khz: float | None = None,
) -> DeviceSpeed:
    """The device on so many of its fastest cores; None: on as many as are fastest together.

    Engines split their work evenly, so n cores do n times what the slowest of them does. Where
    their number is free, efficiency cores are left out if there are others.

    Args:
        clock_khz: of cores whose clock the device does not tell; None: as the fastest that it
            tells.

    Raises:
        PopulationError: the device does not tell its cores, or no clock at all.
    """
    clusters = facts.clusters
    known = [cluster.max_frequency_khz for cluster in clusters if cluster.max_frequency_khz]
    assumed = clock_khz or max(known, default=0)
    if not clusters or not assumed:
        hidden = "how its cores are clocked" if clusters else "its cores"
        raise PopulationError(f"its facts do not tell {hidden}")
    cores = [
        _core(cluster, facts, arithmetic, float(assumed), "given" if clock_khz else "assumed")
        for cluster in _candidates(clusters, threads)
        for _ in cluster.cores
    ]
    cores.sort(key=lambda core: core.per_second, reverse=True)
    together = [count * core.per_second for count, core in enumerate(cores, start=1)]
    if threads is None:
        threads = together.index(max(together)) + 1
    used = min(threads, len(cores))
    slowest = cores[used - 1]
    return DeviceSpeed(
        threads=threads,
        per_second=together[used - 1],
        gb_per_s=cores[0].design.gb_per_s,
        clock_khz=slowest.clock_khz,
        clock_source=slowest.clock_source,
        design_source="core designs" if slowest.design.known else "design unknown",
    )


def _candidates(clusters: tuple[CpuCluster, ...], threads: int | None) -> list[CpuCluster]:
    faster = [cluster for cluster in clusters if cluster.kind != "efficiency"]
    return faster if faster and threads is None else list(clusters)


def _core(
    cluster: CpuCluster,
    facts: DeviceFacts,
    arithmetic: Arithmetic,
    untold_khz: float,
    untold_source: str,
) -> _Core:
    features = (*facts.common_features, *cluster.extra_features)
    design = core_design(cluster.micro_architecture, features, arithmetic)
    clock = cluster.max_frequency_khz or untold_khz
    source = "facts" if cluster.max_frequency_khz else untold_source
    return _Core(clock * 1e3 * design.per_cycle, clock, source, design)
