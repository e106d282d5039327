"""sweep.json: what was measured, on what, by what, in which order and when."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import ClassVar

from android_harness.facts.device_facts import DeviceFacts
from android_harness.records import HelloRecord
from device_bench.plan import Slot, SweepPlan
from device_bench.work import ModelShape
from exporters.contract import Contract


class Sweep(Contract):
    """The provenance of the samples beside it."""

    word: ClassVar[str] = "sweep description"

    target: str
    device: DeviceFacts
    bundle_sha256: str
    runner_sha256: str
    shape: ModelShape  # of what the bundle computes in this sweep
    plan: SweepPlan
    order: tuple[Slot, ...]  # of the jobs; a measurement's `position` points into it
    hello: HelloRecord | None  # of the first job; None until it has ended
    started_at: datetime
    finished_at: datetime | None  # None while jobs are missing

    @property
    def run_name(self) -> str:
        """How the names of its runs on the device begin, whichever process measures it."""
        content = self.model_dump_json(
            include={"target", "bundle_sha256", "runner_sha256", "plan", "started_at"}
        )
        return f"bench-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
