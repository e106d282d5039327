"""Masks read back from the kernel."""

from __future__ import annotations

from device_bench.policies.pinning import PINNING
from tests.device_bench.policies.made_jobs import ARM, flagged, job, text_of

PINNED = ARM.model_copy(update={"cpu_mask": "0xf0"})


def test_another_mask_than_the_one_asked_for_is_found() -> None:
    jobs = [job(0, arm=PINNED), job(1, arm=PINNED, seen_mask="0x0F0"), job(2)]
    elsewhere = job(3, arm=PINNED, seen_mask="0xff")

    assert flagged(PINNING, jobs) == []
    assert text_of(PINNING, [*jobs, elsewhere]) == "asked for 0xf0, the kernel says 0xff"
