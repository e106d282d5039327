"""`fwdllm bench`: perturbed inference timed on devices, raw samples kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from rich.markup import escape
from rich.table import Table

from android_harness.job import Estimator
from android_harness.state.wanted_settings import SettingsChoice
from device_bench.policies.cooldown import COOL_C, PATIENCE_S
from toolkit.cli.console import err, out, print_json
from toolkit.cli.options import (
    DeviceOption,
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
    from device_bench.policies.job_boundaries import JobBoundaries
    from toolkit.cli.fleet import Outcome


def bench(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder.")],
    target: EachTargetOption,
    out_folder: Annotated[
        Path,
        typer.Option("--out", help="The samples folder; one inside it per device if several."),
    ],
    batch: Annotated[str, typer.Option(help="Examples in a batch.")] = "1,4",
    tokens: Annotated[str, typer.Option(help="Tokens in an example.")] = "32,128",
    directions: Annotated[str, typer.Option(help="Directions evaluated in one pass.")] = "1,8",
    estimator: Annotated[
        str, typer.Option(help=f"all, or some of {', '.join(get_args(Estimator))}.")
    ] = "all",
    layers: Annotated[
        str, typer.Option(help="Layers whose LoRA moves: all, last:N or A-B, or several of them.")
    ] = "all",
    device: DeviceOption = None,
    threads: Annotated[
        str, typer.Option(help="Threads; `cores`: as many as the cores they run on.")
    ] = "1",
    cores: Annotated[
        str,
        typer.Option(
            help="Cores to run on: any, a hexadecimal mask such as 0xf0, or fastest, prime, "
            "performance, big or efficiency."
        ),
    ] = "any",
    warmup: Annotated[int, typer.Option(min=0, help="Untimed repetitions of each job.")] = 2,
    repetitions: Annotated[int, typer.Option(min=1, help="Timed repetitions of each job.")] = 3,
    minimum_ms: Annotated[
        int, typer.Option(min=0, help="Short arms are repeated to fill this in a repetition.")
    ] = 100,
    blocks: Annotated[int, typer.Option(min=1, help="Jobs of each arm, at least.")] = 3,
    most_blocks: Annotated[
        int, typer.Option(min=1, help="Jobs of an arm that is not known precisely yet, at most.")
    ] = 8,
    precision: Annotated[
        float, typer.Option(min=0, help="Half the width of an arm's interval over its median.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(min=0, help="Of the order and the tokens.")] = 0,
    profile_ops: Annotated[
        bool,
        typer.Option("--profile-ops", help="Also time the operators of ExecuTorch's programs."),
    ] = False,
    cooldown_above: Annotated[
        str,
        typer.Option(
            metavar="CELSIUS|off",
            help="A job waits while skin, battery or chip are hotter than this, and than 3 degrees "
            "above the sweep's begin.",
        ),
    ] = f"{COOL_C:g}",
    cooldown_patience: Annotated[
        float, typer.Option(min=0, help="Seconds after which a job begins on a hot device.")
    ] = PATIENCE_S,
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

    Devices that share a processor, such as local and fake phones, take turns.
    """
    from android_harness.targets.discover import ALL, expand_targets
    from device_bench.cores import ThreadCount, placements_on
    from device_bench.policies.cooldown import CooldownGate
    from device_bench.policies.job_boundaries import JobBoundaries
    from device_bench.program_sizes import padded_arms
    from device_bench.sustained import LongRun
    from device_bench.sweep import arms_of, run_sweep
    from exporters.manifest import Bundle
    from toolkit.cli.fleet import (
        folder_of,
        install_and_report,
        on_each_device,
        raise_failures,
    )
    from toolkit.cli.recorded_command import recorded_command

    batches, lengths, at_once = integers(batch), integers(tokens), integers(directions)
    estimators = get_args(Estimator) if estimator == "all" else names(estimator)
    ranges = names(layers)
    cool_c = celsius_or_off(cooldown_above)
    long_run = None if sustained_minutes is None else LongRun(sustained_minutes, sustained_arm)
    threads_of: list[ThreadCount] = [
        "cores" if name == "cores" else int(name) for name in names(threads)
    ]
    loaded = Bundle(bundle)
    model_layers = loaded.manifest.architecture.layers
    moving = [_moving(text, model_layers) for text in ranges]
    arms = arms_of(batches, lengths, at_once, estimators, moving)

    for arm in padded_arms(arms, loaded.manifest.programs):
        err.print(f"padded, no program is of that size: {arm.label}", highlight=False)
    targets = expand_targets(target)
    alone = len(targets) == 1 and ALL not in target
    folders = {spec: out_folder if alone else out_folder / folder_of(spec) for spec in targets}

    def measure(spec: str, reached: Target, report: Report) -> Path:
        runner = install_and_report(reached, loaded, report, device, patience_minutes=patience)
        boundaries = JobBoundaries(
            reached,
            runner.facts,
            patience_s=runner.patience_s,
            gate=CooldownGate(cool_c, cooldown_patience),
            tell=_telling_of_heat(report),
        )
        placements = placements_on(runner.facts, threads_of, names(cores))
        run_sweep(
            runner,
            arms_of(batches, lengths, at_once, estimators, moving, placements.pairs),
            folders[spec],
            warmup=warmup,
            repetitions=repetitions,
            minimum_ms=minimum_ms,
            blocks=blocks,
            most_blocks=most_blocks,
            precision=precision,
            seed=seed,
            profile_operators=profile_ops,
            timeout_s=timeout,
            boundaries=boundaries,
            long_run=long_run,
            on_progress=_reporting(boundaries, report),
            conditions=_conditions(reached, folders[spec], settings, telemetry, idle_seconds),
        )
        return folders[spec]

    with recorded_command(targets=targets, out=out_folder):
        outcomes = on_each_device(targets, measure, patience_minutes=patience, measuring=True)
        rows = [_row(each, folders[each.spec], len(arms) * blocks) for each in outcomes]
        if json:
            print_json(rows)
        else:
            for each in outcomes:
                if each.result is not None:
                    _print_profile(each.spec, each.result)
            if not alone:
                out.print(_summary(rows))
        raise_failures(outcomes)


@contextmanager
def _conditions(
    target: Target, folder: Path, settings: SettingsChoice, telemetry: bool, idle_seconds: float
) -> Iterator[None]:
    """What holds on a device while it is measured, recorded beside its samples."""
    from android_harness.state.held_settings import SETTINGS_NAME, held_settings
    from android_harness.state.wanted_settings import wanted_settings
    from android_harness.telemetry.recorder import recorded_telemetry
    from android_harness.telemetry.records import TELEMETRY_NAME

    with held_settings(target, wanted_settings(settings)) as held:
        held.write(folder / SETTINGS_NAME)
        if not telemetry:
            yield
            return
        with recorded_telemetry(target, folder / TELEMETRY_NAME) as recorder:
            if idle_seconds:
                recorder.measure_idle(idle_seconds)
            yield


def _reporting(boundaries: JobBoundaries, report: Report) -> Callable[[str, int, int], None]:
    """How a sweep reports itself: what it measures next, and how warm the device is."""
    from toolkit.cli.fleet_display import JOBS

    def on_progress(arm: str, done: int, total: int) -> None:
        report(JOBS, done, total, arm, _warmth(boundaries))

    return on_progress


def _telling_of_heat(report: Report) -> Callable[[str, float, float], None]:
    """How a wait for a device to cool down is reported."""

    def tell(words: str, waited_s: float, patience_s: float) -> None:
        report("cooldown", round(waited_s), round(patience_s), words)

    return tell


def _warmth(boundaries: JobBoundaries) -> float | None:
    """Degrees Celsius of the device's skin, or else of its battery, when it was last asked."""
    status = boundaries.last
    if status is None:
        return None
    skin = status.thermal.hottest("skin")
    return status.battery.celsius if skin is None else skin.celsius


def _print_profile(spec: str, samples: Path) -> None:
    from device_bench.fit_profile import fit_profile
    from toolkit.cli.profile import estimator_tables

    out.print(f"samples of {spec}: {samples}", highlight=False, soft_wrap=True)
    for table in estimator_tables(fit_profile(samples, now=datetime.now(UTC))):
        out.print(table)


def _row(outcome: Outcome[Path], folder: Path, jobs: int) -> dict[str, Any]:
    """What came of a device, as JSON shows it."""
    from device_bench.samples import jobs_measured
    from exporters.errors import FwdllmError
    from toolkit.cli.fleet_display import message_of

    error = outcome.error
    return {
        "target": outcome.spec,
        "samples": str(folder),
        "finished": error is None,
        "jobs": jobs_measured(folder),
        "jobs_in_all": jobs,
        "error": None if error is None else message_of(error, outcome.spec),
        "remedy": error.remedy if isinstance(error, FwdllmError) else None,
    }


def _summary(rows: list[dict[str, Any]]) -> Table:
    table = Table()
    for heading in ("device", "jobs", "samples", "failure, and its remedy"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        failure = " – ".join(row[part] for part in ("error", "remedy") if row[part])
        jobs = f"{row['jobs']}/{row['jobs_in_all']}"
        table.add_row(escape(row["target"]), jobs, escape(row["samples"]), escape(failure))
    return table


def _moving(text: str, model_layers: int) -> tuple[int, int] | None:
    """The range of layers that an arm moves; None: all adapted ones.

    Raises:
        ExportError: the text is malformed or names layers outside the model.
    """
    from exporters.lora.request import layer_range

    return None if text == "all" else layer_range(text, model_layers)
