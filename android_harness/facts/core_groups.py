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
    groups = _place_by_topology([core for core in cores if core not in seen], groups, files)
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
    alike: dict[Hashable, list[int]] = {}
    for group in groups:
        if len(group.cores) == 1:
            (core,) = group.cores
            capacity = files.get(f"{CPU_FOLDER}/cpu{core}/cpu_capacity")
            key = (_design(core, identities), max_frequency_khz(core, files), capacity)
            alike.setdefault(key, []).append(core)
    for single in alike.values():
        equal = ", equal single cores" if len(single) > 1 else ""
        joined.append(CoreGroup(tuple(single), f"cpu*/cpufreq/related_cpus{equal}"))
    return joined


def _place_by_topology(
    cores: Sequence[int], groups: list[CoreGroup], files: Mapping[str, str]
) -> list[CoreGroup]:
    new: dict[Hashable, list[int]] = {}
    grown: dict[CoreGroup, list[int]] = {}
    for core in cores:
        siblings = _siblings(core, files)
        touched = [group for group in groups if siblings & set(group.cores)]
        if len(touched) == 1:
            grown.setdefault(touched[0], []).append(core)
        else:
            key = frozenset() if touched else siblings
            new.setdefault(key, []).append(core)
    result = []
    for group in groups:
        more = grown.get(group, [])
        source = f"{group.source}, cpu*/topology" if more else group.source
        result.append(CoreGroup(tuple(sorted([*group.cores, *more])), source))
    for siblings_of, together in new.items():
        source = "cpu*/topology" if siblings_of else "present, the rest"
        result.append(CoreGroup(tuple(together), source))
    return result


def _siblings(core: int, files: Mapping[str, str]) -> frozenset[int]:
    """The smallest set of cores that some core's topology puts this one into; may be empty."""
    sets = [
        frozenset(listed)
        for path, text in files.items()
        if path.endswith(_SIBLINGS)
        and len(listed := parse_kernel_list(text)) > 1
        and core in listed
    ]
    return min(sets, key=len, default=frozenset())


def _split_by_design(
    groups: list[CoreGroup], identities: Mapping[int, CoreIdentity]
) -> list[CoreGroup]:
    """Cores of two designs are never alike; one that hides its design stays with the first."""
    split = []
    for group in groups:
        designs = {core: _design(core, identities) for core in group.cores}
        known = list(dict.fromkeys(design for design in designs.values() if design is not None))
        if len(known) < 2:
            split.append(group)
            continue
        for design in known:
            cores = tuple(core for core in group.cores if (designs[core] or known[0]) == design)
            split.append(CoreGroup(cores, f"{group.source}, /proc/cpuinfo"))
    return split


def _design(core: int, identities: Mapping[int, CoreIdentity]) -> Hashable:
    return identities[core].design if core in identities else None
