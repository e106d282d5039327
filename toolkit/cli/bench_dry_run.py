"""`fwdllm bench --dry-run`: what would be measured on each device, and for how long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from android_harness.facts.device_facts import read_device_facts
from android_harness.targets.open_target import open_target
from device_bench.plans.bench_plan import BenchPlan
from device_bench.plans.sweep_plan import Arm, Slot, SweepPlan, placement_text
from device_bench.profiles.profile import Profile
from device_bench.samples.outstanding import due_in
from device_bench.samples.sustained import LongRun
from device_bench.samples.time_left import TimeLeft, all_left
from device_bench.sweeps.bench_parts import BenchPart
from device_bench.sweeps.interleaving import in_turn
from exporters.lora.request import layers_text
from toolkit.cli.bench_sweeps import estimate_text, left_in, modelled_seconds, say
from toolkit.cli.console import out


@dataclass(frozen=True)
class DryRun:
    """The plan as it is on one device.

    Attributes:
        names: of the parts, where there are several.
        order: the jobs of the first block, each with the number of its part.
        left_out: threads and cores that the device does not have, and why.
    """

    target: str
    names: tuple[str, ...]
    plans: tuple[SweepPlan, ...]
    order: tuple[tuple[int, Slot], ...]
    left: TimeLeft
    left_out: tuple[str, ...]

    def numbered(self) -> list[tuple[int, Arm]]:
        """All arms in the order of the plan, each with the number of its part."""
        return [(part, arm) for part, plan in enumerate(self.plans) for arm in plan.arms]

    def document(self) -> dict[str, Any]:
        """As JSON; arms of the order by their place in the list of arms."""
        arms = self.numbered()
        return {
            "target": self.target,
            "arms": [{"part": self.names[part], **arm.model_dump()} for part, arm in arms],
            "first_block": [
                arms.index((part, self.plans[part].arms[slot.arm])) for part, slot in self.order
            ],
            "jobs_left": self.left.jobs,
            "modelled_seconds_left": self.left.seconds,
            "left_out": self.left_out,
        }


def dry_runs(
    asked: BenchPlan,
    parts: Sequence[BenchPart],
    folders: Mapping[str, Path],
    profiles: Sequence[Profile],
    long_run: LongRun | None,
) -> list[DryRun]:
    """Asks each device what it is, and nothing more.

    Args:
        folders: of the devices, by their specifications; what they hold already is not left.
        long_run: of each sweep, at the end.

    Raises:
        DeviceError: a device cannot be asked.
        SweepSettingsError: a device can do nothing of what was asked for.
    """
    runs = []
    for spec, folder in folders.items():
        with open_target(spec) as target:
            placements = asked.placements(read_device_facts(target))
        plans = [asked.for_bundle(part.bundle.manifest, placements) for part in parts]
        due = [due_in(0, plan, plan.shuffled(), ()) for plan in plans]
        left = [
            left_in(
                part.folder(parts, folder),
                plan,
                modelled_seconds(part, plan, profiles, spec),
                long_run,
            )
            for part, plan in zip(parts, plans, strict=True)
        ]
        runs.append(
            DryRun(
                target=spec,
                names=tuple(part.name for part in parts),
                plans=tuple(plans),
                order=tuple(in_turn(0, due, asked.seed)),
                left=all_left(left),
                left_out=placements.left_out,
            )
        )
    return runs


def print_dry_runs(runs: Sequence[DryRun]) -> None:
    """The arms of each device, in the order in which its first block would measure them."""
    for run in runs:
        for reason in run.left_out:
            say(run.target, f"left out, {reason}")
        table = Table(
            "job",
            "bundle",
            "B",
            "T",
            "K",
            "estimator",
            "layers",
            "threads",
            title=f"{run.target}: {estimate_text(run.plans, run.left)}",
            title_justify="left",
            caption="the first block of jobs; each block has an order of its own",
            caption_justify="left",
        )
        for number, (part, slot) in enumerate(run.order, start=1):
            arm = run.plans[part].arms[slot.arm]
            table.add_row(
                str(number),
                run.names[part],
                str(arm.batch),
                str(arm.tokens),
                str(arm.directions_per_pass),
                arm.estimator,
                layers_text(arm.layers),
                placement_text(*arm.placement),
            )
        out.print(table)
