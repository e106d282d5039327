"""`fwdllm train`: rounds of FwdLLM over devices."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from android_harness.job import Estimator
from toolkit.cli.allocate import table as allocation_table
from toolkit.cli.console import err, print_json, progress_bars
from toolkit.cli.console import out as console
from toolkit.cli.options import JsonOption, TargetsOption, TimeoutOption, names

if TYPE_CHECKING:
    from toolkit.allocation.contract import Allocation
    from toolkit.training.contract import RoundRecord, TrainingConfig


def train(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder.")],
    data: Annotated[Path, typer.Option(help="A .csv, .tsv or .jsonl file.")],
    text_column: Annotated[
        str, typer.Option(help="Column names, or numbers from 0 without a header: title,text.")
    ],
    target: TargetsOption,
    rounds: Annotated[int, typer.Option(min=1)],
    out: Annotated[Path, typer.Option(help="The run folder; an interrupted run goes on there.")],
    label_column: Annotated[
        str | None, typer.Option(help="Classify; without it, model the language.")
    ] = None,
    held_out: Annotated[int, typer.Option(min=0, help="Rows to evaluate on.")] = 200,
    held_out_data: Annotated[
        Path | None, typer.Option(help="The file of those rows; else they are taken from --data.")
    ] = None,
    examples: Annotated[
        int | None, typer.Option(min=1, help="The most rows to learn from; all when absent.")
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            help="Prompt around {text} that the label follows. (default: {text}\\nTopic:)"
        ),
    ] = None,
    verbalizer: Annotated[
        str | None, typer.Option(help="Words of the labels, 1=World,2=Sports; chosen when absent.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=2, help="Tokens of an example.")] = 64,
    probes: Annotated[int, typer.Option(min=1, help="Per round, over all devices.")] = 64,
    batch: Annotated[int, typer.Option(min=1, help="Examples per device and round.")] = 16,
    estimator: Annotated[Estimator, typer.Option()] = "central",
    epsilon: Annotated[float, typer.Option(min=1e-6)] = 1e-2,
    directions: Annotated[
        int, typer.Option(min=1, help="Evaluated at once, where no profile says otherwise.")
    ] = 1,
    profile: Annotated[
        list[Path] | None,
        typer.Option(help="Capability profiles to divide the probes by; else equal shares."),
    ] = None,
    step: Annotated[
        float | None, typer.Option(min=0, help="Trust ratio of the first step; decays to 0.")
    ] = None,
    sgd_rate: Annotated[
        float | None, typer.Option(min=0, help="Plain SGD with this rate instead.")
    ] = None,
    evaluate_every: Annotated[int, typer.Option(min=1, help="Rounds between evaluations.")] = 10,
    threads: Annotated[int, typer.Option(min=1, help="Of the runner on each device.")] = 1,
    timeout: TimeoutOption = 3600.0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    json: JsonOption = False,
) -> None:
    """Fine-tune over devices: seeds go down, slopes come up."""
    from exporters.manifest import Bundle
    from exporters.tokenizer import load_tokenizer
    from toolkit.cli.fleet import installed
    from toolkit.data.prompts import DEFAULT_TEMPLATE
    from toolkit.data.task import TextSource, load_task
    from toolkit.data.verbalizer import parse_words
    from toolkit.server_update import SgdStep, TrustRatioStep
    from toolkit.training.contract import TrainingConfig
    from toolkit.training.run_folder import RunFolder
    from toolkit.training.setup import TrainingData
    from toolkit.training.train import train as run

    if step is not None and sgd_rate is not None:
        raise typer.BadParameter("--step and --sgd-rate exclude each other")
    update = TrustRatioStep(ratio=step) if sgd_rate is None else SgdStep(rate=sgd_rate)
    loaded = Bundle(bundle)
    task = load_task(
        TextSource(data, names(text_column), label_column),
        load_tokenizer(loaded),
        held_out=held_out,
        held_out_path=held_out_data,
        template=DEFAULT_TEMPLATE if template is None else template.replace("\\n", "\n"),
        words=parse_words(verbalizer) if verbalizer else None,
        max_tokens=max_tokens,
        most_examples=examples,
        seed=seed,
    )
    config = TrainingConfig(
        rounds=rounds,
        probes=probes,
        batch=batch,
        loss=task.loss,
        estimator=estimator,
        epsilon=epsilon,
        directions_per_pass=directions,
        update=update,
        seed=seed,
        threads=threads,
        timeout_s=timeout,
        evaluate_every=evaluate_every,
    )
    # A run that continues keeps its shares, also when its profiles have expired since.
    begun = RunFolder(out).exists()
    allocation = None if begun else _allocation(profile, config, max_tokens)
    if allocation is not None and not json:
        err.print(allocation_table(allocation))
    with ExitStack() as stack, progress_bars() as on_progress:
        runners = [stack.enter_context(installed(spec, loaded, on_progress)) for spec in target]
        # Held-out data stay with the server: it evaluates on the machine that it runs on.
        if "local" in target:
            evaluator = runners[target.index("local")]
        else:
            evaluator = stack.enter_context(installed("local", loaded, on_progress))

        def on_round(record: RoundRecord) -> None:
            on_progress("rounds", record.round, rounds)
            if not json:
                err.print(round_line(record), highlight=False)

        result = run(
            runners,
            bundle=loaded,
            data=TrainingData(task.examples, task.held_out),
            config=config,
            out=out,
            evaluator=evaluator,
            allocation=allocation,
            on_round=on_round,
        )
    if json:
        print_json(
            {
                "run": str(out),
                "rounds": [
                    record.model_dump(mode="json", exclude={"devices"}) for record in result.rounds
                ],
            }
        )
    else:
        console.print(summary(result.rounds))
        console.print(f"adapter: {out / 'adapter'} (PEFT), {out / 'adapter.gguf'} (llama.cpp)")


def _allocation(paths: list[Path] | None, config: TrainingConfig, tokens: int) -> Allocation | None:
    """The division of the run's probes by the profiles; None without profiles.

    Each device may use any number of directions at once that was measured.
    """
    from datetime import UTC, datetime

    from device_bench.profile import Profile
    from toolkit.allocation.allocate import allocate

    if not paths:
        return None
    profiles = [Profile.read(path) for path in paths]
    measured = {
        arm.directions_per_pass
        for profile in profiles
        for backend in profile.backends
        for arm in backend.arms
    }
    return allocate(
        profiles,
        probes=config.probes,
        batch=config.batch,
        tokens=tokens,
        estimator=config.estimator,
        directions_per_pass=sorted(measured or {1}),
        now=datetime.now(UTC),
    )


def round_line(record: RoundRecord) -> str:
    """One line about a round."""
    line = f"round {record.round:>4}"
    if record.loss is not None:
        line += f"  loss on devices {record.loss:.4f}"
    if record.evaluation is not None:
        line += f"  held out {record.evaluation.loss:.4f}"
        if record.evaluation.accuracy is not None:
            line += f"  accuracy {record.evaluation.accuracy:.3f}"
    for device in record.devices:
        if device.error is not None:
            line += f"  [red]lost {device.target}: {escape(device.error)}[/]"
    return line


def summary(rounds: tuple[RoundRecord, ...]) -> Table:
    """The evaluated rounds."""
    table = Table("round", "held-out loss", "accuracy", "probes so far", "bytes down", "bytes up")
    for record in rounds:
        if record.evaluation is None:
            continue
        done = rounds[: record.round + 1]
        accuracy = record.evaluation.accuracy
        table.add_row(
            str(record.round),
            f"{record.evaluation.loss:.4f}",
            "" if accuracy is None else f"{accuracy:.3f}",
            str(sum(other.probes for other in done)),
            f"{sum(other.bytes_down for other in done):,}",
            f"{sum(other.bytes_up for other in done):,}",
        )
    return table
