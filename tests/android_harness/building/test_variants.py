"""Which variant a processor gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.building.variants import PHONE_ABIS, variants, variants_for

# Of /proc/cpuinfo: a Cortex-A53, a Cortex-A76 and a Cortex-A715.
A53 = ["fp", "asimd", "evtstrm", "aes", "pmull", "sha1", "sha2", "crc32", "cpuid"]
A76 = [*A53, *["atomics", "fphp", "asimdhp", "asimdrdm", "lrcpc", "dcpop", "asimddp"]]
A715 = [*A76, *["sve", "sve2", "i8mm", "bf16", "flagm2", "frint"]]
FEATURES = sorted({each for abi in PHONE_ABIS for v in variants(abi) for each in v.features})


@pytest.mark.parametrize(
    ("features", "names"),
    [
        ([], ["baseline"]),
        (A53, ["baseline"]),
        (A76, ["dotprod", "baseline"]),
        (A715, ["i8mm", "dotprod", "baseline"]),
    ],
)
def test_the_best_that_a_processor_can_run_comes_first(
    features: list[str], names: list[str]
) -> None:
    assert [variant.name for variant in variants_for("arm64-v8a", features)] == names


@given(st.sampled_from(PHONE_ABIS), st.sets(st.sampled_from(FEATURES)))
def test_no_variant_uses_what_a_processor_lacks(abi: str, features: set[str]) -> None:
    chosen = variants_for(abi, features)
    assert all(variant.features <= features for variant in chosen)
    assert chosen[-1].name == "baseline"
