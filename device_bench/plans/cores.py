"""The threads and cores that a plan names, as placements on one device."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import PositiveInt

from android_harness.facts.cores_to_use import CoresName, mask_of, named_cores
from android_harness.facts.device_facts import DeviceFacts
from device_bench.errors import SweepSettingsError
from device_bench.plans.sweep_plan import cores_in

ANY = "any"
AS_CORES = "cores"

ThreadCount = PositiveInt | Literal["cores"]  # `cores`: as many threads as there are cores


@dataclass(frozen=True)
class Placements:
    """What a device can do of what was asked for, and why it cannot do the rest."""

    pairs: tuple[tuple[int, str | None], ...]  # threads and CPU mask
    left_out: tuple[str, ...] = ()


def placements_on(
    facts: DeviceFacts, threads: Sequence[ThreadCount], cores: Sequence[str]
) -> Placements:
    """Every combination once that makes sense on the device.

    Threads wait for the slowest, so more of them than cores are left out: two would share a core.

    Args:
        cores: a mask such as `0xf0`, `any`, or a name of `CoresName`.

    Raises:
        SweepSettingsError: an entry cannot be read, or no combination is left.
    """
    pairs: dict[tuple[int, str | None], None] = {}
    left_out: dict[str, None] = {}
    for name in cores:
        try:
            mask = _mask(name, facts)
        except _NotThereError as reason:
            left_out[str(reason)] = None
            continue
        available = cores_in(mask) or facts.cpu_count
        for entry in threads:
            if entry == AS_CORES and available is None:
                left_out["threads as cores: the device does not tell how many it has"] = None
                continue
            count = available if entry == AS_CORES else entry
            assert isinstance(count, int)
            if available is not None and count > available:
                left_out[f"{count} threads on {name}: more than its cores ({available})"] = None
            else:
                pairs[count, mask] = None
    if not pairs:
        raise SweepSettingsError(
            "the device can do none of these threads and cores: " + "; ".join(left_out),
            remedy="give other --threads and --cores; fwdllm devices shows the cores",
        )
    return Placements(tuple(pairs), tuple(left_out))


class _NotThereError(Exception):
    """The device has no such cores, for the reason in the message."""


def _mask(name: str, facts: DeviceFacts) -> str | None:
    if name == ANY:
        return None
    if re.fullmatch("0x[0-9a-fA-F]{1,128}", name) and int(name, 16):
        known = {core for cluster in facts.clusters for core in cluster.cores}
        asked = {core for core in range(int(name, 16).bit_length()) if int(name, 16) >> core & 1}
        if known and not asked <= known:
            raise _NotThereError(f"cores {name}: the device has {mask_of(known)}")
        return hex(int(name, 16))
    named = next((known for known in get_args(CoresName) if known == name), None)
    if named is None:
        raise SweepSettingsError(
            f"cores cannot be {name!r}",
            remedy=f"give a mask such as 0xf0, {ANY}, or one of {', '.join(get_args(CoresName))}",
        )
    mask = mask_of(named_cores(named, facts.clusters))
    if mask is None:
        raise _NotThereError(f"cores {name}: the device tells of none")
    return mask
