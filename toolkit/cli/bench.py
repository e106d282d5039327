"""`fwdllm bench`: perturbed inference timed on devices, raw samples kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from android_harness.facts.cores_to_use import CoresName
from android_harness.job import Estimator
from device_bench.conditions.cooldown import COOL_C, PATIENCE_S
from toolkit.cli.console import err, out, print_json
from toolkit.cli.options import (
    EachTargetOption,
    JsonOption,
    PatienceOption,
    SettingsOption,
    TimeoutOption,
    celsius_or_off,
    integers,
    names,
)

if TYPE_CHECKING:
    from android_harness.fleet.task_queue import Report
    from android_harness.target import Target
    from device_bench.plans.bench_plan import BenchPlan


def bench(
    target: EachTargetOption,
    out_folder: Annotated[
        Path,
        typer.Option(
            "--out",
            help="The samples folder; one inside it per device, bundle and backend if several.",
        ),
    ],
    bundles: Annotated[
        list[Path] | None, typer.Argument(help="Bundle folders.", show_default="those of --plan")
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(help="A YAML file of what to measure; the options below replace its fields."),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            show_default="cpu",
            help="What computes on the targets: cpu, vulkan, opencl or hexagon, or one device of "
            "them by its name, or several. `fwdllm runner build --with` must have built them.",
        ),
    ] = None,
    batch: Annotated[
        str | None, typer.Option(help="Examples in a batch.", show_default="1,4")
    ] = None,
    tokens: Annotated[
        str | None, typer.Option(help="Tokens in an example.", show_default="32,128")
    ] = None,
    directions: Annotated[
        str | None, typer.Option(help="Directions evaluated in one pass.", show_default="1,8")
    ] = None,
    estimator: Annotated[
        str | None,
        typer.Option(help=f"all, or some of {', '.join(get_args(Estimator))}.", show_default="all"),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            help="Layers whose LoRA moves: all, last:N or A-B, or several of them.",
            show_default="all",
        ),
    ] = None,
    threads: Annotated[
        str | None,
        typer.Option(help="Threads; cores: as many as the cores have.", show_default="1"),
    ] = None,
    cores: Annotated[
        str | None,
        typer.Option(
            help=f"Cores to run on: any, masks such as 0xf0, {', '.join(get_args(CoresName))}.",
            show_default="any",
        ),
    ] = None,
    blocks: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Jobs of each arm, at least.",
            show_default="6, or --most-blocks if fewer",
        ),
    ] = None,
    most_blocks: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Jobs of an arm that is not known precisely yet, at most.",
            show_default="12, or --blocks if more",
        ),
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(
            help="Half the width of the 95 % interval of an arm's jobs, relative to their median, "
            "that is narrow enough.",
            show_default="0.05",
        ),
    ] = None,
    warmup: Annotated[
        int | None,
        typer.Option(
            min=0, help="Repetitions of each job before any counts, at least.", show_default="6"
        ),
    ] = None,
    warmup_seconds: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="How long they go on at most if they never settle; 0: none.",
            show_default="60",
        ),
    ] = None,
    repetitions: Annotated[
        int | None,
        typer.Option(min=1, help="Repetitions of each job that count.", show_default="3"),
    ] = None,
    minimum_ms: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Short arms are repeated to fill this in a repetition.",
            show_default="100",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the order and the tokens.", show_default="0")
    ] = None,
    profile_ops: Annotated[
        bool,
        typer.Option("--profile-ops", help="Also time the operators of ExecuTorch's programs."),
    ] = False,
    cooldown_above: Annotated[
        str | None,
        typer.Option(
            metavar="CELSIUS|off",
            help="A job waits while skin, battery or chip are hotter than this, and than 3 degrees "
            "above the sweep's begin.",
            show_default=f"{COOL_C:g}",
        ),
    ] = None,
    cooldown_patience: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Seconds after which a job begins on a hot device.",
            show_default=f"{PATIENCE_S:g}",
        ),
    ] = None,
    sustained_minutes: Annotated[
        float | None,
        typer.Option(min=0.1, help="Run one arm for so long at the end; 10 or more show heat."),
    ] = None,
    sustained_arm: Annotated[
        str | None,
        typer.Option(
            metavar="B,T,K[,ESTIMATOR]", show_default="the largest", help="Which arm that is."
        ),
    ] = None,
    profile: Annotated[
        Path | None,
        typer.Option(help="An earlier profile of the devices, to estimate the time from."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be measured, and measure nothing.")
    ] = False,
    time_anyway: Annotated[
        bool,
        typer.Option("--time-anyway", help="Time a backend too that computes wrong numbers."),
    ] = False,
    settings: SettingsOption = "measuring",
    telemetry: Annotated[
        bool, typer.Option(help="Record temperatures, clocks, memory and battery meanwhile.")
    ] = True,
    idle_seconds: Annotated[
        float,
        typer.Option(min=0, help="Rest before the sweep, whose power is no probe's; 0: no energy."),
    ] = 0,
    timeout: TimeoutOption = 3600.0,
    patience: PatienceOption = 10.0,
    json: JsonOption = False,
) -> None:
    """Time a sweep on all devices at once; run it again to continue an interrupted one.

    Every combination of the lists is measured. Devices that share a processor, such as local and
    fake phones, take turns.
    """
    from android_harness.building.engines import engine_of
    from android_harness.targets.discover import ALL, expand_targets
    from device_bench.plans.cores import Placements
    from device_bench.plans.program_sizes import padded_arms
    from device_bench.plans.unfit_arms import refuse_unfit_arms
    from device_bench.profiles.profile_files import read_profiles
    from device_bench.samples.sustained import LongRun
    from device_bench.sweeps.bench_parts import bench_parts
    from device_bench.sweeps.operators import refuse_without_operators
    from device_bench.sweeps.sweep import run_sweeps
    from exporters.errors import FwdllmError
    from toolkit.cli.bench_conditions import bench_conditions
    from toolkit.cli.bench_cooldown import boundaries_on
    from toolkit.cli.bench_dry_run import dry_runs, print_dry_runs
    from toolkit.cli.bench_results import print_profiles, row_of, summary
    from toolkit.cli.bench_sweeps import on_progress, sweeps_on
    from toolkit.cli.fleet import folder_of, on_each_device, raise_failures
    from toolkit.cli.recorded_command import recorded_command

    given: dict[str, Any] = {
        "bundles": bundles or None,
        "backends": _read(names, device),
        "batch": _read(integers, batch),
        "tokens": _read(integers, tokens),
        "directions": _read(integers, directions),
        "estimator": get_args(Estimator) if estimator == "all" else _read(names, estimator),
        "layers": _read(names, layers),
        "threads": _read(_threads, threads),
        "cores": _read(names, cores),
        "blocks": blocks,
        "most_blocks": most_blocks,
        "precision": precision,
        "warmup": warmup,
        "warmup_seconds": warmup_seconds,
        "repetitions": repetitions,
        "minimum_ms": minimum_ms,
        "seed": seed,
        "profile_operators": profile_ops or None,
        "cooldown_above": _read(celsius_or_off, cooldown_above),
        "cooldown_patience": cooldown_patience,
        "sustained_minutes": sustained_minutes,
        "sustained_arm": sustained_arm,
    }
    asked = _asked(plan, {name: value for name, value in given.items() if value is not None})
    if not asked.bundles:
        raise FwdllmError("no bundle is given", remedy="name its folder, or give a --plan with it")
    long_run = None
    if asked.sustained_minutes is not None:
        long_run = LongRun(asked.sustained_minutes, asked.sustained_arm)
    parts = bench_parts(asked.bundles, asked.backends)
    # What no device could measure is refused before one is touched.
    if asked.profile_operators:
        refuse_without_operators([engine_of(part.bundle.manifest.format) for part in parts])
    for bundle in dict.fromkeys(part.bundle for part in parts):
        anywhere = asked.for_bundle(bundle.manifest, Placements(pairs=((1, None),)))
        refuse_unfit_arms(anywhere.arms, bundle.manifest)
        if long_run is not None:
            long_run.refuse_unless_among(anywhere.arms)
        for arm in padded_arms(anywhere.arms, bundle.manifest.programs):
            err.print(f"padded, no program is of that size: {arm.work_label}", highlight=False)
    profiles = [] if profile is None else read_profiles(profile)
    targets = expand_targets(target)
    alone = len(targets) == 1 and ALL not in target
    folders = {spec: out_folder if alone else out_folder / folder_of(spec) for spec in targets}
    if dry_run:
        runs = dry_runs(asked, parts, folders, profiles, long_run)
        if json:
            print_json([run.document() for run in runs])
        else:
            print_dry_runs(runs)
        return

    def measure(spec: str, reached: Target, report: Report) -> list[Path]:
        sweeps = sweeps_on(
            reached,
            asked,
            parts,
            folders[spec],
            report,
            profiles=profiles,
            long_run=long_run,
            timeout_s=timeout,
            patience_minutes=patience,
        )
        boundaries = boundaries_on(sweeps[0].installed, asked, report)
        run_sweeps(
            sweeps,
            time_anyway=time_anyway,
            boundaries=boundaries,
            long_run=long_run,
            on_progress=on_progress(boundaries, report),
            conditions=bench_conditions(
                reached,
                folders[spec],
                [sweep.folder for sweep in sweeps],
                settings=settings,
                telemetry=telemetry,
                idle_seconds=idle_seconds,
            ),
        )
        return [sweep.folder for sweep in sweeps]

    with recorded_command(targets=targets, out=out_folder):
        outcomes = on_each_device(targets, measure, patience_minutes=patience, measuring=True)
        rows = [
            row_of(each, folder, [part.folder(parts, folder) for part in parts])
            for each, folder in zip(outcomes, folders.values(), strict=True)
        ]
        if json:
            print_json(rows)
        else:
            print_profiles(outcomes)
            if not alone:
                out.print(summary(rows))
        raise_failures(outcomes)


def _asked(file: Path | None, given: dict[str, Any]) -> BenchPlan:
    """The plan of the file, or the usual one, with what the options say in place of its fields."""
    from device_bench.plans.bench_plan import BenchPlan

    return (BenchPlan() if file is None else BenchPlan.read(file)).changed(given)


def _read(reader: Callable[[str], object], text: str | None) -> object | None:
    return None if text is None else reader(text)


def _threads(text: str) -> list[int | str]:
    return [int(name) if name.isdecimal() else name for name in names(text)]
