"""`fwdllm train`: rounds of FwdLLM over devices, hosts with devices, or simulated clients."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.console import err, print_json, progress_bars
from toolkit.cli.console import out as console
from toolkit.cli.options import DeviceOption, EstimatorOrAuto, JsonOption, TimeoutOption, names
from toolkit.cli.recorded_command import recorded_command
from toolkit.cli.training_config import Baseline, RuleOptions, directions_at_once
from toolkit.cli.training_output import (
    baseline_summary,
    print_result_json,
    privacy_line,
    round_line,
    summary,
)
from toolkit.training.methods import Method

if TYPE_CHECKING:
    from toolkit.training.contract import RoundRecord


def train(
    model: Annotated[
        Path,
        typer.Argument(help="A bundle folder; with --simulate also a Hugging Face encoder."),
    ],
    data: Annotated[
        str,
        typer.Option(
            help="A .csv, .tsv, .jsonl or .parquet file, a saved Hugging Face dataset, or "
            "hf:NAME:SPLIT."
        ),
    ],
    text_column: Annotated[
        str, typer.Option(help="Column names, or numbers from 0 without a header: title,text.")
    ],
    rounds: Annotated[int, typer.Option(min=1)],
    out: Annotated[Path, typer.Option(help="The run folder; an interrupted run goes on there.")],
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target", help="local, adb:SERIAL or adb-tcp:HOST:PORT; repeat for several devices."
        ),
    ] = None,
    superlink: Annotated[
        Path | None,
        typer.Option(help="Instead: over the hosts of this SuperLink, which keep their own data."),
    ] = None,
    await_clients: Annotated[
        int, typer.Option(min=1, help="With --superlink: begin with so many.")
    ] = 1,
    simulate: Annotated[
        int | None, typer.Option(min=1, help="Instead: over so many simulated clients, in PyTorch.")
    ] = None,
    workers: Annotated[
        int,
        typer.Option(min=1, help="With --simulate: worker processes, by Flower's simulation."),
    ] = 1,
    label_column: Annotated[
        str | None, typer.Option(help="Classify; without it, model the language.")
    ] = None,
    held_out: Annotated[int, typer.Option(min=0, help="Rows to evaluate on.")] = 200,
    held_out_data: Annotated[
        str | None, typer.Option(help="Where those rows are; else they are taken from --data.")
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
    partition: Annotated[
        str,
        typer.Option(help="Of the rows: iid, user:COLUMN, dirichlet:ALPHA or quantity:ALPHA."),
    ] = "iid",
    baseline: Annotated[
        Baseline | None,
        typer.Option(
            help="With --simulate, instead of forward gradients: backpropagation, whose clients "
            "train for themselves (fedavg) or send the gradient of one batch (fedsgd)."
        ),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=1e-9, show_default="0.005", help="Of the baseline's Adam.")
    ] = None,
    method: Annotated[
        Method, typer.Option(help="Settings to start from; the options below change them.")
    ] = "default",
    probes: Annotated[
        int, typer.Option(min=1, help="Per round, over all devices, before pacing asks for more.")
    ] = 64,
    clients: Annotated[
        int | None, typer.Option(min=1, help="Devices that a round begins with; all when absent.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Examples per device and round.")] = 16,
    estimator: Annotated[
        EstimatorOrAuto | None,
        typer.Option(
            show_default="auto with profiles, else tangent",
            help="auto: the best by the profiles.",
        ),
    ] = None,
    epsilon: Annotated[
        float | None,
        typer.Option(min=1e-6, show_default="as the profiles calibrated it, else 0.01"),
    ] = None,
    directions: Annotated[
        int | None,
        typer.Option(
            min=1,
            show_default="8 under tangent, else 1",
            help="Evaluated at once, where no profile says otherwise.",
        ),
    ] = None,
    layers: Annotated[
        str | None, typer.Option(help="Whose LoRA is trained: all, last:N or A-B.")
    ] = None,
    b_only: Annotated[
        bool, typer.Option("--b-only", help="Train LoRA's B matrices alone.")
    ] = False,
    pacing: Annotated[
        str | None,
        typer.Option(help="fixed, slope-test or fwdllm-gate; KIND:field=value sets a field."),
    ] = None,
    sampling: Annotated[
        str | None, typer.Option(help="plain, tensor-filter or seed-pool; likewise.")
    ] = None,
    update: Annotated[
        str | None,
        typer.Option(help="trust-ratio, momentum, guided, yogi or sgd; likewise: sgd:rate=0.01."),
    ] = None,
    aggregation: Annotated[
        str | None, typer.Option(help="mean, clipped, trimmed or median-of-means; likewise.")
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            help="An encoder's head by its exact gradient: adam or sgd; likewise. Else by probes."
        ),
    ] = None,
    label_prior: Annotated[
        float,
        typer.Option(
            min=0,
            help="How much of a device's own label shares its loss knows of: 0.5 to 1 where labels "
            "are unevenly divided.",
        ),
    ] = 0.0,
    lora_rank: Annotated[int, typer.Option(min=1, help="Of an encoder.")] = 4,
    lora_alpha: Annotated[float, typer.Option(min=0, help="Of an encoder.")] = 8.0,
    lora_targets: Annotated[
        str | None,
        typer.Option(help="Of an encoder: linear modules; query and value when absent."),
    ] = None,
    guard: Annotated[
        bool, typer.Option("--guard", help="Stop a run that diverges, and keep its best values.")
    ] = False,
    clip: Annotated[
        float | None, typer.Option(min=1e-12, help="Private: devices cut each slope to this.")
    ] = None,
    noise: Annotated[
        float | None,
        typer.Option(
            min=1e-6,
            show_default="1",
            help="Private: and add Gaussian noise of this times --clip.",
        ),
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(
            min=1e-300,
            max=0.999,
            show_default="1e-5",
            help="Private: the δ at which ε is stated in the end.",
        ),
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            help="Capability profiles to divide the probes by, HOST=FILE with --superlink; else "
            "equal shares. With --simulate: how long the clients would take."
        ),
    ] = None,
    allocation: Annotated[
        Path | None, typer.Option(help="An allocation to divide them by, instead of profiles.")
    ] = None,
    deadline_s: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds that a device has to answer.")
    ] = None,
    staleness: Annotated[
        int, typer.Option(min=0, help="Rounds for which a late answer still counts.")
    ] = 0,
    evaluate_every: Annotated[int, typer.Option(min=1, help="Rounds between evaluations.")] = 10,
    device: DeviceOption = None,
    threads: Annotated[int, typer.Option(min=1, help="Of the runner on each device.")] = 1,
    prefix_mb: Annotated[
        int,
        typer.Option(
            min=0, help="Megabytes that a device may keep of what its frozen layers compute."
        ),
    ] = 256,
    memory_mb: Annotated[
        int | None,
        typer.Option(
            min=1, help="Megabytes that the runner may take on a device: it then parts its work."
        ),
    ] = None,
    timeout: TimeoutOption = 3600.0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    json: JsonOption = False,
) -> None:
    """Fine-tune over devices: seeds go down, slopes come up."""
    from exporters.lora.support import Support
    from toolkit.cli.training_runs import (
        DataOptions,
        RunRequest,
        over_baseline,
        over_devices,
        over_hosts,
        over_simulated,
    )
    from toolkit.data.partition import parse_partition
    from toolkit.data.prompts import DEFAULT_TEMPLATE
    from toolkit.data.source import parse_source
    from toolkit.data.task import TextSource
    from toolkit.data.verbalizer import parse_words
    from toolkit.simulation.task import EncoderLora
    from toolkit.training.contract import TrainingConfig
    from toolkit.training.privacy_spent import privacy_spent

    if sum(bool(kind) for kind in (target, superlink, simulate)) != 1:
        raise typer.BadParameter("give one of --target, --superlink and --simulate")
    _refuse_unused(
        {
            "--allocation": simulate and allocation,
            "--partition": superlink and partition != "iid",
            "--head": (target or superlink) and head,
            "--device": not target and device,
            "--await-clients": not superlink and await_clients > 1,
            "--rate": baseline is None and rate is not None,
            "--noise": clip is None and noise is not None,
            "--delta": clip is None and delta is not None,
            "--workers": not simulate and workers > 1,
            "--label-prior": label_prior and not label_column,
        }
    )
    by_profiles = bool(profile or allocation) and not simulate
    if estimator == "auto" and not by_profiles:
        raise typer.BadParameter("auto needs --profile or --allocation", param_hint="--estimator")
    choose_estimator = by_profiles and (
        estimator == "auto" or (estimator is None and method == "default")
    )
    rules = RuleOptions(
        method=method,
        estimator=None if estimator == "auto" else estimator,
        epsilon=epsilon,
        pacing=pacing,
        sampling=sampling,
        update=update,
        aggregation=aggregation,
        head=head,
        guard=guard,
        clip=clip,
        noise=1.0 if noise is None else noise,
    )
    settings = rules.settings()
    config = TrainingConfig(
        **settings,
        rounds=rounds,
        probes=probes,
        clients=clients,
        batch=batch,
        support=Support(matrices="B" if b_only else "AB", head=head is None),
        label_prior=label_prior,
        directions_per_pass=directions or directions_at_once(settings),
        seed=seed,
        threads=threads,
        prefix_bytes=prefix_mb * 1_000_000,
        memory_bytes=None if memory_mb is None else memory_mb * 1_000_000,
        timeout_s=timeout,
        deadline_s=deadline_s,
        staleness=staleness,
        evaluate_every=evaluate_every,
    )
    if baseline is not None:
        _refuse_unused(
            {
                "--pacing": pacing,
                "--sampling": sampling,
                "--update": update,
                "--aggregation": aggregation,
                "--head": head,
                "--estimator": estimator,
                "--guard": guard,
                "--clip": clip,
                "--label-prior": label_prior,
                "--profile": profile,
                "--workers": workers > 1,
                "a target or SuperLink": not simulate,
            }
        )
    divided = parse_partition(partition)
    options = DataOptions(
        source=TextSource(
            parse_source(data),
            names(text_column),
            label_column,
            user_column=getattr(divided, "column", None),
        ),
        partition=divided,
        held_out=held_out,
        held_out_path=parse_source(held_out_data) if held_out_data else None,
        template=DEFAULT_TEMPLATE if template is None else template.replace("\\n", "\n"),
        words=parse_words(verbalizer) if verbalizer else None,
        max_tokens=max_tokens,
        most_examples=examples,
    )
    with recorded_command(targets=target or [], out=out), progress_bars() as on_progress:

        def on_round(record: RoundRecord) -> None:
            on_progress("rounds", record.round, rounds)
            if not json:
                err.print(round_line(record), highlight=False)

        request = RunRequest(
            model,
            options,
            config,
            layers,
            out,
            on_round,
            on_progress,
            choose_estimator=choose_estimator,
            choose_epsilon="epsilon" not in settings,
        )
        lora = EncoderLora(
            rank=lora_rank,
            alpha=lora_alpha,
            targets=tuple(names(lora_targets)) if lora_targets else None,
        )
        if target:
            result = over_devices(
                request,
                target,
                device=device,
                profiles=profile or [],
                allocation=allocation,
                quiet=json,
            )
        elif superlink:
            result = over_hosts(
                request,
                superlink,
                await_clients=await_clients,
                profiles=profile or [],
                allocation=allocation,
                quiet=json,
            )
        elif baseline is not None:
            assert simulate is not None
            run = over_baseline(
                request, simulate, lora=lora, kind=baseline, rate=rate or 0.005, quiet=json
            )
            if json:
                print_json(run.model_dump(mode="json"))
            else:
                console.print(baseline_summary(run.rounds))
            return
        else:
            assert simulate is not None
            result = over_simulated(
                request,
                simulate,
                workers=workers,
                lora=lora,
                profiles=[Path(each) for each in profile or []],
            )
    spent = privacy_spent(config, result.rounds, delta or 1e-5)
    if json:
        print_result_json(result, spent)
        return
    console.print(summary(result.rounds))
    if spent is not None:
        console.print(privacy_line(spent))
    if (out / "adapter").exists():
        gguf = out / "adapter.gguf"
        for_llama_cpp = f", {gguf} (llama.cpp)" if gguf.exists() else ""
        console.print(f"adapter: {out / 'adapter'} (PEFT){for_llama_cpp}")


def _refuse_unused(options: Mapping[str, object]) -> None:
    """What was given and would be ignored is a misunderstanding."""
    unused = [name for name, given in options.items() if given]
    if unused:
        raise typer.BadParameter(f"{', '.join(unused)} has no effect on this kind of run")
