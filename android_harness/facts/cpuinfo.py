"""/proc/cpuinfo of ARM and x86 kernels, old and new."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from android_harness.facts.micro_architecture import ArmIdentity, CoreIdentity, X86Identity

Value = TypeVar("Value")


@dataclass(frozen=True)
class CpuInfo:
    """What the file says; cores that are switched off are not in it.

    Attributes:
        cores: numbers of the cores that are listed.
        identities: of the cores that have an identity of their own.
        shared_identity: kernels before Linux 4 give one block for all cores, which is that of
            the core the file was read on, whichever that was.
        features: instruction sets that all listed cores have, in the order of the first.
        features_of: by core, where each has a list of its own.
        fields: the first value of each key, e.g. `Hardware`.
    """

    cores: tuple[int, ...]
    identities: Mapping[int, CoreIdentity]
    shared_identity: CoreIdentity | None
    features: tuple[str, ...]
    features_of: Mapping[int, tuple[str, ...]]
    fields: Mapping[str, str]


def parse_cpuinfo(text: str) -> CpuInfo:
    """Never fails, whatever the text is."""
    first_of_all: dict[str, str] = {}
    blocks: dict[int | None, dict[str, str]] = {}
    core: int | None = None
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        key, value = key.strip(), value.strip()
        if not colon:
            continue
        if key == "processor" and re.fullmatch(r"[0-9]{1,4}", value):
            core = int(value)
        first_of_all.setdefault(key, value)
        blocks.setdefault(core, {}).setdefault(key, value)
    cores = tuple(number for number in blocks if number is not None)
    identities = {number: found for number, block in blocks.items() if (found := _identity(block))}
    features = {number: names for number, block in blocks.items() if (names := _features(block))}
    # A block for all cores follows the line of the last one, and looks like that one's own.
    one_identity = len(cores) > 1 and len(identities) == 1
    one_list = len(cores) > 1 and len(features) == 1
    return CpuInfo(
        cores=cores,
        identities={} if one_identity else _of_cores(identities),
        shared_identity=next(iter(identities.values())) if one_identity else identities.get(None),
        features=_common(list(features.values())),
        features_of={} if one_list else _of_cores(features),
        fields=first_of_all,
    )


def _of_cores(values: Mapping[int | None, Value]) -> dict[int, Value]:
    return {number: value for number, value in values.items() if number is not None}


def _identity(block: Mapping[str, str]) -> CoreIdentity | None:
    implementer, part = _number(block.get("CPU implementer")), _number(block.get("CPU part"))
    if implementer is not None and part is not None:
        return ArmIdentity(
            implementer=implementer,
            part=part,
            variant=_number(block.get("CPU variant")),
            revision=_number(block.get("CPU revision")),
        )
    family, model = _number(block.get("cpu family")), _number(block.get("model"))
    if "vendor_id" in block and family is not None and model is not None:
        return X86Identity(vendor=block["vendor_id"], family=family, model=model)
    return None


def _features(block: Mapping[str, str]) -> tuple[str, ...]:
    return tuple((block.get("Features") or block.get("flags") or "").split())


def _common(lists: list[tuple[str, ...]]) -> tuple[str, ...]:
    if not lists:
        return ()
    everywhere = frozenset(lists[0]).intersection(*lists[1:])
    return tuple(dict.fromkeys(name for name in lists[0] if name in everywhere))


def _number(text: str | None) -> int | None:
    text = text or ""
    if re.fullmatch(r"0x[0-9a-fA-F]{1,8}", text):
        return int(text, 16)
    return int(text) if re.fullmatch(r"[0-9]{1,8}", text) else None
