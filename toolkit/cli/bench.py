"""`fwdllm bench`: perturbed inference timed on devices, raw samples kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, get_args

import typer

from android_harness.job import Estimator
from toolkit.cli.console import OnProgress, err, out, print_json, progress_bars
from toolkit.cli.options import (
    DeviceOption,
    JsonOption,
    TargetsOption,
    TimeoutOption,
    integers,
    names,
)


def bench(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder.")],
    target: TargetsOption,
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
    json: JsonOption = False,
) -> None:
    """Time a sweep on each device; run it again to continue an interrupted one."""
    from device_bench.fit_profile import fit_profile
    from device_bench.program_sizes import padded_arms
    from device_bench.sweep import arms_of, run_sweep
    from exporters.manifest import Bundle
    from toolkit.cli.fleet import folder_of, installed
    from toolkit.cli.profile import estimator_tables
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
    # One after the other: two targets on one host would disturb each other's times.
    measured = []
    targets = list(dict.fromkeys(target))
    with recorded_command(targets=targets, out=out_folder):
        for spec in targets:
            folder = out_folder if len(targets) == 1 else out_folder / folder_of(spec)
            with (
                progress_bars() as on_progress,
                installed(spec, loaded, on_progress, device) as runner,
            ):
                run_sweep(
                    runner,
                    arms,
                    folder,
                    threads=threads,
                    cpu_mask=cpu_mask,
                    warmup=warmup,
                    repetitions=repetitions,
                    minimum_ms=minimum_ms,
                    blocks=blocks,
                    seed=seed,
                    profile_operators=profile_ops,
                    timeout_s=timeout,
                    on_progress=_sweep_progress(spec, on_progress),
                )
            measured.append({"target": spec, "samples": str(folder)})
    if json:
        print_json(measured)
        return
    for row in measured:
        out.print(f"samples of {row['target']}: {row['samples']}", highlight=False, soft_wrap=True)
        for table in estimator_tables(fit_profile(Path(row["samples"]), now=datetime.now(UTC))):
            out.print(table)


def _moving(text: str, model_layers: int) -> tuple[int, int] | None:
    """The range of layers that an arm moves; None: all adapted ones.

    Raises:
        ExportError: the text is malformed or names layers outside the model.
    """
    from exporters.lora.request import layer_range

    return None if text == "all" else layer_range(text, model_layers)


def _sweep_progress(spec: str, on_progress: OnProgress) -> Callable[[str, int, int], None]:
    return lambda arm, done, total: on_progress(f"{spec} sweep", done, total)
