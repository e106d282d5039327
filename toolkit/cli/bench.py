"""`fwdllm bench`: perturbed inference timed on devices, raw samples kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.console import OnProgress, out, print_json, progress_bars
from toolkit.cli.options import JsonOption, TargetsOption, TimeoutOption, integers, names


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
    estimator: Annotated[str, typer.Option(help="central, forward.")] = "central,forward",
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
    timeout: TimeoutOption = 3600.0,
    json: JsonOption = False,
) -> None:
    """Time a sweep on each device; run it again to continue an interrupted one."""
    from device_bench.sweep import arms_of, run_sweep
    from exporters.manifest import Bundle
    from toolkit.cli.fleet import folder_of, installed

    arms = arms_of(integers(batch), integers(tokens), integers(directions), names(estimator))
    loaded = Bundle(bundle)

    # One after the other: two targets on one host would disturb each other's times.
    measured = []
    targets = list(dict.fromkeys(target))
    for spec in targets:
        folder = out_folder if len(targets) == 1 else out_folder / folder_of(spec)
        with progress_bars() as on_progress, installed(spec, loaded, on_progress) as runner:
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
                timeout_s=timeout,
                on_progress=_sweep_progress(spec, on_progress),
            )
        measured.append({"target": spec, "samples": str(folder)})
    if json:
        print_json(measured)
        return
    for row in measured:
        out.print(f"samples of {row['target']}: {row['samples']}", highlight=False, soft_wrap=True)


def _sweep_progress(spec: str, on_progress: OnProgress) -> Callable[[str, int, int], None]:
    return lambda arm, done, total: on_progress(f"{spec} sweep", done, total)
