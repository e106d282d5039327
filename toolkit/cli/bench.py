"""`fwdllm bench`: perturbed inference timed on devices, raw samples kept."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from rich.markup import escape
from rich.table import Table

from android_harness.job import Estimator
from toolkit.cli.console import err, out, print_json
from toolkit.cli.options import (
    DeviceOption,
    EachTargetOption,
    JsonOption,
    PatienceOption,
    TimeoutOption,
    integers,
    names,
)

if TYPE_CHECKING:
    from android_harness.fleet.task_queue import Report
    from android_harness.runs.installed_runner import InstalledRunner
    from android_harness.target import Target
    from device_bench.plan import Arm
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
    threads: Annotated[int, typer.Option(min=1)] = 1,
    cpu_mask: Annotated[
        str | None, typer.Option(help="Hexadecimal mask of the cores to run on, e.g. 0xf0.")
    ] = None,
    warmup: Annotated[int, typer.Option(min=0, help="Untimed repetitions of each job.")] = 2,
    repetitions: Annotated[int, typer.Option(min=1, help="Timed repetitions of each job.")] = 3,
    minimum_ms: Annotated[
        int, typer.Option(min=0, help="Short arms are repeated to fill this in a repetition.")
    ] = 100,
    blocks: Annotated[int, typer.Option(min=1, help="Jobs of each arm, interleaved.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Of the order and the tokens.")] = 0,
    profile_ops: Annotated[
        bool,
        typer.Option("--profile-ops", help="Also time the operators of ExecuTorch's programs."),
    ] = False,
    timeout: TimeoutOption = 3600.0,
    patience: PatienceOption = 10.0,
    json: JsonOption = False,
) -> None:
    """Time a sweep on all devices at once; run it again to continue an interrupted one.

    Devices that share a processor, such as local and fake phones, take turns.
    """
    from android_harness.targets.discover import ALL, expand_targets
    from device_bench.program_sizes import padded_arms
    from device_bench.sweep import arms_of
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
    loaded = Bundle(bundle)
    model_layers = loaded.manifest.architecture.layers
    moving = [_moving(text, model_layers) for text in ranges]
    arms = arms_of(batches, lengths, at_once, estimators, moving)

    for arm in padded_arms(arms, loaded.manifest.programs):
        err.print(f"padded, no program is of that size: {arm.label}", highlight=False)
    targets = expand_targets(target)
    alone = len(targets) == 1 and ALL not in target
    folders = {spec: out_folder if alone else out_folder / folder_of(spec) for spec in targets}
    settings = {
        "threads": threads,
        "cpu_mask": cpu_mask,
        "warmup": warmup,
        "repetitions": repetitions,
        "minimum_ms": minimum_ms,
        "blocks": blocks,
        "seed": seed,
        "profile_operators": profile_ops,
        "timeout_s": timeout,
    }

    def measure(spec: str, reached: Target, report: Report) -> Path:
        runner = install_and_report(reached, loaded, report, device, patience_minutes=patience)
        measure_device(runner, report, arms, folders[spec], settings)
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


def measure_device(
    runner: InstalledRunner,
    report: Report,
    arms: Sequence[Arm],
    folder: Path,
    settings: dict[str, Any],
) -> None:
    """Measures on one device what its samples folder still lacks.

    Args:
        settings: those of `run_sweep`.
    """
    from device_bench.sweep import run_sweep
    from toolkit.cli.fleet_display import JOBS

    def on_progress(arm: str, done: int, total: int) -> None:
        report(JOBS, done, total, arm, _warmth(runner.target) if err.is_terminal else None)

    with ExitStack():  # what holds on the device, and what is recorded there, while it is measured
        run_sweep(runner, arms, folder, on_progress=on_progress, **settings)


def _warmth(target: Target) -> float | None:
    """Degrees Celsius of the device's skin, or else of its battery; asked between two jobs."""
    from android_harness.facts.device_status import read_device_status

    status = read_device_status(target)
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
