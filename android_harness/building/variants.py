"""Which parts of an instruction set a phone's runner uses: one runner for each that matters."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from android_harness.building.engines import Engine


@dataclass(frozen=True)
class Variant:
    """A runner for all processors that have certain features.

    Attributes:
        name: what people call it.
        features: what the processor must have, as /proc/cpuinfo names it; what follows from these
            is left out.
        march: the instruction set as GCC and Clang take it.
        zig_cpu: the same as zig takes it.
    """

    name: str
    features: frozenset[str]
    march: str
    zig_cpu: str


# The least first. What a feature level has beside what ggml's kernels use (SVE, bfloat16, the
# pointers and acquires of Armv8.3) is left out: processors that have the kernels' parts need not
# have it.
_VARIANTS: dict[str, tuple[Variant, ...]] = {
    "arm64-v8a": (
        Variant("baseline", frozenset(), "armv8-a", "generic"),
        Variant(
            "dotprod",
            frozenset({"atomics", "asimdhp", "asimddp"}),
            "armv8.2-a+fp16+dotprod",
            "generic+v8_2a+fullfp16+dotprod",
        ),
        Variant(
            "i8mm",
            frozenset({"atomics", "asimdhp", "asimddp", "i8mm"}),
            "armv8.2-a+fp16+dotprod+i8mm",
            "generic+v8_2a+fullfp16+dotprod+i8mm",
        ),
    ),
    "x86_64": (
        Variant("baseline", frozenset(), "x86-64-v2", "x86_64_v2"),  # what Android's ABI grants
        Variant(
            "avx2",
            frozenset({"avx2", "fma", "f16c", "bmi1", "bmi2", "movbe", "abm"}),
            "x86-64-v3",
            "x86_64_v3",
        ),
    ),
}
PHONE_ABIS = tuple(_VARIANTS)


def variants(abi: str, engine: Engine = "ggml") -> tuple[Variant, ...]:
    """Those of an ABI in `PHONE_ABIS`, the least first.

    ExecuTorch's kernels choose by themselves when the program runs, so one runner is enough.
    """
    known = _VARIANTS[abi]
    return known if engine == "ggml" else known[:1]


def variants_for(
    abi: str, features: Collection[str], engine: Engine = "ggml"
) -> tuple[Variant, ...]:
    """Those that a processor with these features can run, the best first."""
    able = (each for each in variants(abi, engine) if each.features.issubset(features))
    return tuple(reversed(list(able)))
