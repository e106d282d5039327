"""Which cores belong together, by what the kernel shows of frequencies and topology."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from android_harness.facts.kernel_lists import parse_kernel_list
from android_harness.facts.micro_architecture import CoreIdentity

CPU_FOLDER = "/sys/devices/system/cpu"
_SIBLINGS = ("cluster_cpus_list", "core_siblings_list")


@dataclass(frozen=True)
class CoreGroup:
    """Cores that are alike as far as can be seen, ascending, and what says so."""

    cores: tuple[int, ...]
    source: str


def group_cores(
    cores: Sequence[int], identities: Mapping[int, CoreIdentity], files: Mapping[str, str]
) -> list[CoreGroup]:
    """Every core is in one group.

    Cores of one frequency domain belong together. Old chips clock each core by itself: single
    cores that are equal in all that is known make one group. Cores whose frequencies are hidden
    (they are off, or the kernel denies it) go where their topology puts them, and else with
    those of their own design.

    Args:
        identities: of the cores that tell one.
        files: one-line files below /sys/devices/system/cpu, by path.
    """
    groups = _join_equal_single_cores(_frequency_domains(cores, files), identities, files)
    seen = {core for group in groups for core in group.cores}
    hidden = [core for core in cores if core not in seen]
    groups = _place_by_topology(hidden, groups, identities, files)
    return sorted(_split_by_design(groups, identities), key=lambda group: group.cores)


def max_frequency_khz(core: int, files: Mapping[str, str]) -> int | None:
    """The highest frequency that the hardware has, whatever the present limit is."""
    text = files.get(f"{CPU_FOLDER}/cpu{core}/cpufreq/cpuinfo_max_freq", "")
    return int(text) or None if re.fullmatch(r"[0-9]{1,12}", text) else None


def _frequency_domains(cores: Sequence[int], files: Mapping[str, str]) -> list[CoreGroup]:
    groups: list[CoreGroup] = []
    taken: set[int] = set()
    for core in cores:
        for path in (f"cpu{core}/cpufreq/related_cpus", f"cpufreq/policy{core}/related_cpus"):
            domain = parse_kernel_list(files.get(f"{CPU_FOLDER}/{path}", ""))
            # Some vendors' kernels list other cores here, and not the one that was asked.
            free = tuple(other for other in domain if other in cores and other not in taken)
            if core in free:
                groups.append(CoreGroup(free, path))
                taken.update(free)
    return groups


def _join_equal_single_cores(
    groups: list[CoreGroup], identities: Mapping[int, CoreIdentity], files: Mapping[str, str]
) -> list[CoreGroup]:
    joined = [group for group in groups if len(group.cores) > 1]
    alike: dict[Hashable, list[CoreGroup]] = {}
    for group in groups:
        if len(group.cores) == 1:
            (core,) = group.cores
            capacity = files.get(f"{CPU_FOLDER}/cpu{core}/cpu_capacity")
            key = (_design(core, identities), max_frequency_khz(core, files), capacity)
            alike.setdefault(key, []).append(group)
    for first, *others in alike.values():
        cores = first.cores + tuple(core for other in others for core in other.cores)
        source = f"{first.source}, equal single cores" if others else first.source
        joined.append(CoreGroup(cores, source))
    return joined


def _place_by_topology(
    cores: Sequence[int],
    groups: list[CoreGroup],
    identities: Mapping[int, CoreIdentity],
    files: Mapping[str, str],
) -> list[CoreGroup]:
    by_siblings: dict[frozenset[int], list[int]] = {}
    by_design: dict[Hashable, list[int]] = {}
    grown: dict[CoreGroup, list[int]] = {}
    sibling_sets = _sibling_sets(files)
    for core in cores:
        siblings = next((of for of in sibling_sets if core in of), frozenset[int]())
        touched = [group for group in groups if siblings & set(group.cores)]
        if len(touched) == 1:
            grown.setdefault(touched[0], []).append(core)
        elif siblings and not touched:
            by_siblings.setdefault(siblings, []).append(core)
        else:
            by_design.setdefault(_design(core, identities), []).append(core)
    result = []
    for group in groups:
        more = grown.get(group, [])
        source = f"{group.source}, cpu*/topology" if more else group.source
        result.append(CoreGroup(tuple(sorted([*group.cores, *more])), source))
    result += [CoreGroup(tuple(more), "cpu*/topology") for more in by_siblings.values()]
    result += [CoreGroup(tuple(more), "present, the rest") for more in by_design.values()]
    return result


def _sibling_sets(files: Mapping[str, str]) -> list[frozenset[int]]:
    """The sets of several cores that the topology of some core names, smallest first."""
    lists = {text for path, text in files.items() if path.endswith(_SIBLINGS)}
    sets = (frozenset(parse_kernel_list(text)) for text in lists)
    return sorted((cores for cores in sets if len(cores) > 1), key=lambda of: (len(of), min(of)))


def _split_by_design(
    groups: list[CoreGroup], identities: Mapping[int, CoreIdentity]
) -> list[CoreGroup]:
    """Cores of two designs are never alike, whatever the topology says."""
    split = []
    for group in groups:
        parts: dict[Hashable, list[int]] = {}
        for core in group.cores:
            parts.setdefault(_design(core, identities), []).append(core)
        if len(parts.keys() - {None}) < 2:
            split.append(group)
        else:
            source = f"{group.source}, /proc/cpuinfo"
            split += [CoreGroup(tuple(cores), source) for cores in parts.values()]
    return split


def _design(core: int, identities: Mapping[int, CoreIdentity]) -> Hashable:
    return identities[core].design if core in identities else None
