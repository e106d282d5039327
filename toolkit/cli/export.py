"""`fwdllm export`: a model and a LoRA configuration to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from exporters.manifest import Bundle, GgufQuantization
from toolkit.cli.console import out as console
from toolkit.cli.console import print_json, progress_bars
from toolkit.cli.options import JsonOption, names

app = typer.Typer(help="Export a LLaMA-class model with LoRA to a bundle.", no_args_is_help=True)


@app.callback()
def _formats() -> None:
    """One sub-command per artifact format."""


@app.command("gguf")
def export_gguf(
    model: Annotated[str, typer.Argument(help="Hugging Face folder, hub id, or .gguf file.")],
    out: Annotated[Path, typer.Option(help="The bundle folder to write.")],
    quant: Annotated[GgufQuantization, typer.Option(help="Type of the base weights.")] = "q4_0",
    lora: Annotated[
        Path | None, typer.Option(help="A PEFT adapter folder; without it a fresh LoRA is made.")
    ] = None,
    lora_rank: Annotated[int | None, typer.Option(min=1, help="(default: 8)")] = None,
    lora_alpha: Annotated[float | None, typer.Option(help="(default: 16)")] = None,
    lora_targets: Annotated[
        str | None, typer.Option(help="Linear layers. (default: q_proj,v_proj)")
    ] = None,
    lora_layers: Annotated[
        str | None, typer.Option(help="all, last:N or A-B (inclusive). (default: all)")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the fresh LoRA's initial values.")] = 0,
    parity_directions: Annotated[
        int, typer.Option(min=0, help="Directions of the slope parity check.")
    ] = 8,
    json: JsonOption = False,
) -> None:
    """Write a GGUF bundle: quantized base, llama.cpp LoRA adapter, tokenizer, manifest."""
    from exporters.gguf.export import LoraRequest
    from exporters.gguf.export import export_gguf as export

    fresh = {
        "rank": lora_rank,
        "alpha": lora_alpha,
        "targets": None if lora_targets is None else tuple(names(lora_targets)),
        "layers": lora_layers,
    }
    given = {name: value for name, value in fresh.items() if value is not None}
    if lora is not None and given:
        raise typer.BadParameter(f"--lora excludes --lora-{', --lora-'.join(given)}")
    request = LoraRequest(peft_folder=lora, **given)  # type: ignore[arg-type]
    with progress_bars() as on_progress:
        bundle = export(
            model,
            out,
            quantization=quant,
            lora=request,
            seed=seed,
            parity_directions=parity_directions,
            on_progress=on_progress,
        )
    if json:
        print_json({"bundle": str(bundle.folder), **bundle.manifest.model_dump(mode="json")})
    else:
        console.print(summary(bundle))


def summary(bundle: Bundle) -> Table:
    """The bundle in a few rows."""
    manifest = bundle.manifest
    architecture, lora, parity = manifest.architecture, manifest.lora, manifest.parity
    table = Table(title=f"bundle {bundle.folder}", show_header=False, title_justify="left")
    table.add_row(
        "model",
        f"{architecture.family}, {architecture.layers} layers, hidden {architecture.hidden_size}, "
        f"vocabulary {architecture.vocabulary_size}",
    )
    table.add_row(
        "base", f"{manifest.quantization}, {manifest.file('base').bytes / 1e6:.2f} MB (measured)"
    )
    table.add_row(
        "LoRA",
        f"rank {lora.rank}, alpha {lora.alpha:g}, {lora.parameters:,} parameters "
        f"in layers {lora.layers[0]}-{lora.layers[-1]}",
    )
    if parity is not None:
        table.add_row(
            "parity",
            f"loss {parity.artifact_loss:.5f} against PyTorch's {parity.reference_loss:.5f}, "
            f"relative difference {parity.relative_loss_difference:.1e} (measured)",
        )
        if parity.slope_cosine is not None:
            table.add_row(
                "slopes",
                f"cosine {parity.slope_cosine:.5f} over {parity.directions} directions "
                f"at epsilon {parity.epsilon:g} (measured)",
            )
    return table
