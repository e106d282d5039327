"""The clusters of a processor: which cores are alike, what they are and how fast."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pydantic import Field

from android_harness.facts.chips import Layout
from android_harness.facts.core_groups import (
    CPU_FOLDER,
    CoreGroup,
    group_cores,
    max_frequency_khz,
)
from android_harness.facts.cpuinfo import CpuInfo
from android_harness.facts.kernel_lists import parse_kernel_list
from android_harness.facts.micro_architecture import (
    ArmIdentity,
    CoreIdentity,
    Kind,
    kind_of,
)
from exporters.contract import Part

_RANKS: dict[Kind, int] = {"efficiency": 0, "performance": 1, "prime": 2}


class CpuCluster(Part):
    """Cores that are alike; None where the device does not tell."""

    cores: tuple[int, ...]
    micro_architecture: str | None = None
    kind: Kind | None = None  # what the design is for where designs are mixed
    identity: str | None = None  # the numbers that the cores give themselves
    max_frequency_khz: int | None = None
    min_frequency_khz: int | None = None
    capacity: int | None = None  # the kernel's estimate of speed; the fastest core has 1024
    extra_features: tuple[str, ...] = ()  # instruction sets that not all listed cores have
    sources: dict[str, str] = Field(default_factory=dict)  # where each field is from


def present_cores(files: Mapping[str, str], cpuinfo: CpuInfo) -> tuple[int, ...]:
    """Cores that are there, idle ones that are off included."""
    for name in ("present", "possible"):
        cores = parse_kernel_list(files.get(f"{CPU_FOLDER}/{name}", ""))
        if cores:
            return cores
    return tuple(sorted(cpuinfo.cores))


def find_clusters(
    files: Mapping[str, str], cpuinfo: CpuInfo, *, soc: str | None, layout: Layout
) -> tuple[CpuCluster, ...]:
    """The clusters, slowest first: by the kernel's capacities, else by kind, then by frequency.

    Args:
        files: one-line files below /sys/devices/system/cpu, by path.
        soc: the chip's name, as the source of what `layout` adds.
        layout: the chip's clusters as the chip table knows them, for what the device hides.
    """
    cores = present_cores(files, cpuinfo)
    identities = _identities(cores, files, cpuinfo)
    groups = group_cores(cores, identities, files)
    if len(layout) == 1 and layout[0][0] == len(cores):
        groups = _join_all(groups, soc, files)
    online = parse_kernel_list(files.get(f"{CPU_FOLDER}/online", "")) or cores
    running = [group for group in groups if set(group.cores) & set(online)]
    clusters = []
    for group in groups:
        identity = next((identities[core] for core in group.cores if core in identities), None)
        if identity is None and running == [group]:
            # The one block of /proc/cpuinfo can only be of these cores.
            identity = cpuinfo.shared_identity
        clusters.append(_cluster(group, identity, files, cpuinfo))
    return _slowest_first(_named_by_layout(clusters, layout, soc, cpuinfo))


def _identities(
    cores: Sequence[int], files: Mapping[str, str], cpuinfo: CpuInfo
) -> dict[int, CoreIdentity]:
    """Of the cores that have one of their own, in /proc/cpuinfo or in the MIDR register."""
    identities: dict[int, CoreIdentity] = {}
    for core in cores:
        midr = files.get(f"{CPU_FOLDER}/cpu{core}/regs/identification/midr_el1", "")
        if core in cpuinfo.identities:
            identities[core] = cpuinfo.identities[core]
        elif re.fullmatch(r"0x[0-9a-fA-F]{1,16}", midr) and int(midr, 16):
            identities[core] = ArmIdentity.from_midr(int(midr, 16))
    return identities


def _join_all(
    groups: list[CoreGroup], soc: str | None, files: Mapping[str, str]
) -> list[CoreGroup]:
    """One group, for a chip that has one, unless its cores differ visibly."""
    frequencies = {
        khz for group in groups for core in group.cores if (khz := max_frequency_khz(core, files))
    }
    if len(groups) < 2 or len(frequencies) > 1:
        return groups
    cores = tuple(sorted(core for group in groups for core in group.cores))
    return [CoreGroup(cores, f"{groups[0].source}, chip table {soc}")]


def _cluster(
    group: CoreGroup,
    identity: CoreIdentity | None,
    files: Mapping[str, str],
    cpuinfo: CpuInfo,
) -> CpuCluster:
    def numbers(name: str) -> list[int]:
        texts = (files.get(f"{CPU_FOLDER}/cpu{core}/{name}", "") for core in group.cores)
        return [int(text) for text in texts if re.fullmatch(r"[1-9][0-9]{0,11}", text)]

    maxima, minima = numbers("cpufreq/cpuinfo_max_freq"), numbers("cpufreq/cpuinfo_min_freq")
    capacities = numbers("cpu_capacity")
    listed = [cpuinfo.features_of[core] for core in group.cores if core in cpuinfo.features_of]
    extra_features = tuple(
        feature
        for feature in (listed[0] if listed else ())
        if feature not in cpuinfo.features and all(feature in of for of in listed)
    )
    micro = identity.micro_architecture if identity else None
    of_cpuinfo = {*cpuinfo.identities.values(), cpuinfo.shared_identity}
    identity_source = "/proc/cpuinfo" if identity in of_cpuinfo else "cpu*/regs/identification"
    sources = {
        "cores": group.source,
        "identity": identity_source if identity else "",
        "micro_architecture": identity_source if micro else "",
        "max_frequency_khz": "cpu*/cpufreq/cpuinfo_max_freq" if maxima else "",
        "min_frequency_khz": "cpu*/cpufreq/cpuinfo_min_freq" if minima else "",
        "capacity": "cpu*/cpu_capacity" if capacities else "",
        "extra_features": "/proc/cpuinfo" if extra_features else "",
    }
    return CpuCluster(
        cores=group.cores,
        micro_architecture=micro.name if micro else None,
        kind=micro.kind if micro else None,
        identity=str(identity) if identity else None,
        max_frequency_khz=max(maxima, default=None),
        min_frequency_khz=min(minima, default=None),
        capacity=max(capacities, default=None),
        extra_features=extra_features,
        sources={name: source for name, source in sources.items() if source},
    )


def _named_by_layout(
    clusters: list[CpuCluster], layout: Layout, soc: str | None, cpuinfo: CpuInfo
) -> list[CpuCluster]:
    """Gives the clusters that hide their design the one that the chip table knows.

    Only where that is certain: all of one design, or the numbers of cores fit and the
    frequencies tell which is which, and nothing that the device says contradicts.
    """
    names = {name for _, name in layout}
    said = {cluster.micro_architecture for cluster in clusters if cluster.micro_architecture}
    if cpuinfo.shared_identity is not None and cpuinfo.shared_identity.micro_architecture:
        said.add(cpuinfo.shared_identity.micro_architecture.name)
    hidden = [cluster for cluster in clusters if cluster.micro_architecture is None]
    if not names or not hidden or not said <= names:
        return clusters
    if len(names) == 1:
        found = {cluster.cores: layout[0][1] for cluster in hidden}
    else:
        left = list(layout)
        for cluster in clusters:
            entry = (len(cluster.cores), cluster.micro_architecture or "")
            if entry in left:
                left.remove(entry)
        found = _matched(hidden, left)
    return [
        cluster
        if cluster.cores not in found
        else cluster.model_copy(
            update={
                "micro_architecture": found[cluster.cores],
                "kind": kind_of(found[cluster.cores]),
                "sources": {**cluster.sources, "micro_architecture": f"chip table {soc}"},
            }
        )
        for cluster in clusters
    ]


def _matched(
    hidden: list[CpuCluster], entries: list[tuple[int, str]]
) -> dict[tuple[int, ...], str]:
    frequencies = [cluster.max_frequency_khz for cluster in hidden]
    if len(hidden) > 1 and (None in frequencies or len(set(frequencies)) < len(hidden)):
        return {}
    by_speed = sorted(hidden, key=lambda cluster: cluster.max_frequency_khz or 0)
    if [len(cluster.cores) for cluster in by_speed] != [count for count, _ in entries]:
        return {}
    return {cluster.cores: name for cluster, (_, name) in zip(by_speed, entries, strict=True)}


def _slowest_first(clusters: list[CpuCluster]) -> tuple[CpuCluster, ...]:
    by_capacity = all(cluster.capacity is not None for cluster in clusters)
    by_kind = all(cluster.kind is not None for cluster in clusters)

    def speed(cluster: CpuCluster) -> tuple[int, int, int, tuple[int, ...]]:
        return (
            cluster.capacity or 0 if by_capacity else 0,
            _RANKS[cluster.kind] if by_kind and cluster.kind else 0,
            cluster.max_frequency_khz or 0,
            cluster.cores,
        )

    return tuple(sorted(clusters, key=speed))
