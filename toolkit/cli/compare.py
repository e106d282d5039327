"""`fwdllm compare`: which of two folders of samples is faster, arm by arm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from exporters.lora.request import layers_text
from toolkit.cli.console import err, out, print_json
from toolkit.cli.options import JsonOption

if TYPE_CHECKING:
    from device_bench.samples.comparison import SamplesComparison, Side

SLOWER, NOT_JUDGED = 3, 4  # exit codes with --fail-if-slower


def compare(
    a: Annotated[Path, typer.Argument(help="A samples folder: what is compared with.")],
    b: Annotated[Path, typer.Argument(help="Another, of the same arms.")],
    fail_if_slower: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Exit with 3 where B is shown to be slower than A by more than this many "
            "percent, and with 4 where an arm has too few jobs to tell.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Compare two folders of samples: ratios, their intervals, and what they show."""
    from device_bench.samples.comparison import MINIMUM_JOBS, compare_samples

    compared = compare_samples(a, b)
    if json:
        print_json(compared.model_dump(mode="json"))
    else:
        out.print(table(compared))
    for warning in compared.warnings:
        err.print(f"warning: {warning}", highlight=False, markup=False, soft_wrap=True)
    if missing := len(compared.only_in_a) + len(compared.only_in_b):
        err.print(f"warning: {missing} arms are in one of the folders alone", highlight=False)
    if not compared.judged:
        err.print(
            f"remedy: bench with --blocks {MINIMUM_JOBS} or more into new folders; repetitions of "
            "one job do not count as jobs",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    if fail_if_slower is not None:
        if any(arm.slower_than(fail_if_slower) for arm in compared.arms):
            raise typer.Exit(SLOWER)
        if not compared.judged:
            raise typer.Exit(NOT_JUDGED)


def table(compared: SamplesComparison) -> Table:
    """An arm a row, of two lines each."""
    shown = Table(
        "B, T, K\nestimator",
        "A\ns/probe",
        "B\ns/probe",
        "B / A\n95 % CI",
        "p",
        "verdict",
        title=f"A: {compared.a}, B: {compared.b}",
        title_justify="left",
        caption="medians of jobs, n of them, k! outliers that are not dropped; p: two-sided "
        "Mann-Whitney U, Holm over the arms; "
        f"A and B were {'' if compared.interleaved else 'not '}interleaved",
        caption_justify="left",
    )
    for row in compared.arms:
        arm = row.arm
        layers = "" if arm.layers is None else f" {layers_text(arm.layers)}"
        shown.add_row(
            f"{arm.batch}, {arm.tokens}, {arm.directions_per_pass}\n{arm.estimator}{layers}",
            _side(row.a),
            _side(row.b),
            f"{row.ratio:.3g}\n" + ("" if row.low is None else f"{row.low:.3g} to {row.high:.3g}"),
            "" if row.p_adjusted is None else f"{row.p_adjusted:.1g}",
            row.verdict.replace("difference ", "difference\n"),
        )
    return shown


def _side(side: Side) -> str:
    outliers = f", {len(side.outliers_s)}!" if side.outliers_s else ""
    return f"{side.median_s:.3g}\nn {side.jobs}{outliers}"
