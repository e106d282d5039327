"""sweep.json: what was measured, on what, by what, in which order and when."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import Field

from android_harness.facts.device_facts import DeviceFacts
from android_harness.records import HelloRecord
from device_bench.costs.work import ModelShape
from device_bench.plans.sweep_plan import Slot, SweepPlan
from exporters.contract import Contract


class Sweep(Contract):
    """The provenance of the samples beside it."""

    word: ClassVar[str] = "sweep description"
    remedy: ClassVar[str] = "measure again into another folder"
    # Version 2: arms have threads and cores of their own, and a rule says how often they run.
    supported_version: ClassVar[int] = 2

    schema_version: Annotated[int, Field(strict=True)] = 2
    target: str
    device: DeviceFacts
    bundle_sha256: str
    runner_sha256: str
    shape: ModelShape  # of what the bundle computes in this sweep
    computes_on: str | None  # as `--device` takes it; None: the CPU, or the bundle's own backend
    plan: SweepPlan
    # Of all jobs that may be, those too that the stop rule spares; a measurement's `position`
    # points into it.
    order: tuple[Slot, ...]
    hello: HelloRecord | None  # of the first job; None until it has ended
    started_at: datetime
    finished_at: datetime | None  # None while jobs are missing

    @property
    def run_name(self) -> str:
        """How the names of its runs on the device begin, whichever process measures it."""
        content = self.model_dump_json(
            include={
                "target",
                "bundle_sha256",
                "runner_sha256",
                "computes_on",
                "plan",
                "started_at",
            }
        )
        return f"bench-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
