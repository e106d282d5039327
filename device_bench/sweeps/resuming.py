"""A SAMPLES folder belongs to one sweep: it is begun there, or goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from android_harness.runs.installed_runner import InstalledRunner
from device_bench.costs.model_shape import model_shape
from device_bench.errors import SweepMismatchError
from device_bench.plans.sweep_plan import SweepPlan
from device_bench.samples.provenance import Sweep
from device_bench.samples.samples_folder import jobs_measured


def begin_or_resume(installed: InstalledRunner, plan: SweepPlan, path: Path) -> Sweep:
    """The sweep of a sweep.json, which is written where there is none.

    Raises:
        SweepMismatchError: it is of another plan, bundle, runner or device, or gone from beside
            its samples.
        ContractError: it is malformed, or of another version.
    """
    new = Sweep(
        target=installed.target.name,
        device=installed.facts,
        bundle_sha256=installed.bundle.sha256,
        runner_sha256=installed.runner_sha256,
        computes_on=installed.device,
        shape=model_shape(installed.bundle.manifest, plan.loss_positions),
        plan=plan,
        order=plan.shuffled(),
        hello=None,
        started_at=datetime.now(UTC),
        finished_at=None,
    )
    if not path.exists():
        if jobs_measured(path.parent):
            raise SweepMismatchError(
                "the folder holds samples of a sweep that is not described",
                remedy=f"put its {path.name} back, or give another folder for the samples",
                file=path,
            )
        new.write(path)
        return new
    old = Sweep.read(path)
    for field in ("target", "bundle_sha256", "runner_sha256", "computes_on"):
        _require_equal(field, getattr(old, field), getattr(new, field), path)
    for field in SweepPlan.model_fields:
        _require_equal(field, getattr(old.plan, field), getattr(new.plan, field), path)
    return old


def _require_equal(field: str, old: object, new: object, path: Path) -> None:
    if old != new:
        raise SweepMismatchError(
            f"the folder holds a sweep of another {field}",
            remedy="give another folder for the samples, or repeat the settings of the first run",
            file=path,
        )
