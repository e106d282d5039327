"""`fwdllm export`: a model and a LoRA configuration to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from exporters.manifest import (
    Bundle,
    CompilerEstimate,
    Delegation,
    GgufQuantization,
    Manifest,
    Program,
)
from toolkit.cli.console import out as console
from toolkit.cli.console import print_json, progress_bars
from toolkit.cli.options import JsonOption, integers, names

if TYPE_CHECKING:
    from exporters.lora.request import LoraRequest

_NO_WEIGHTS = 1024  # bytes: a weights file without weights is smaller

app = typer.Typer(help="Export a LLaMA-class model with LoRA to a bundle.", no_args_is_help=True)


@app.callback()
def _formats() -> None:
    """One sub-command per artifact format."""


LoraFolder = Annotated[
    Path | None,
    typer.Option("--lora", help="A PEFT adapter folder; without it a fresh LoRA is made."),
]
LoraRank = Annotated[int | None, typer.Option(min=1, help="(default: 8)")]
LoraAlpha = Annotated[float | None, typer.Option(help="(default: 16)")]
LoraTargets = Annotated[str | None, typer.Option(help="Linear layers. (default: q_proj,v_proj)")]
LoraLayers = Annotated[
    str | None, typer.Option(help="all, last:N or A-B (inclusive). (default: all)")
]
Seed = Annotated[int, typer.Option(min=0, help="Of the fresh LoRA's initial values.")]
ParityDirections = Annotated[int, typer.Option(min=0, help="Directions of the slope parity check.")]
Out = Annotated[Path, typer.Option(help="The bundle folder to write.")]


@app.command("gguf")
def export_gguf(
    model: Annotated[str, typer.Argument(help="Hugging Face folder, hub id, or .gguf file.")],
    out: Out,
    quant: Annotated[GgufQuantization, typer.Option(help="Type of the base weights.")] = "q4_0",
    lora: LoraFolder = None,
    lora_rank: LoraRank = None,
    lora_alpha: LoraAlpha = None,
    lora_targets: LoraTargets = None,
    lora_layers: LoraLayers = None,
    seed: Seed = 0,
    parity_directions: ParityDirections = 8,
    json: JsonOption = False,
) -> None:
    """Write a GGUF bundle: quantized base, llama.cpp LoRA adapter, tokenizer, manifest."""
    from exporters.gguf.export import export_gguf as export

    request = _lora_request(lora, lora_rank, lora_alpha, lora_targets, lora_layers)
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
    _show(bundle, json)


@app.command("executorch")
def export_executorch(
    model: Annotated[str, typer.Argument(help="Hugging Face folder, hub id, or .gguf file.")],
    out: Out,
    classes: Annotated[
        int | None, typer.Option(min=2, help="Of a new head of an encoder without one.")
    ] = None,
    backend: Annotated[
        str,
        typer.Option(
            help="What computes: xnnpack, vulkan, qnn, mediatek, samsung, ethos-u, vgf or openvino."
        ),
    ] = "xnnpack",
    soc: Annotated[
        str | None, typer.Option(help="The chip, for backends that compile for one: SM8650.")
    ] = None,
    quant: Annotated[
        str | None,
        typer.Option(help="Such as f32, int8 or 8da4w; the backend has some, and a default."),
    ] = None,
    sizes: Annotated[
        str, typer.Option(help="Batch x length of the programs, several with commas.")
    ] = "8x64",
    positions: Annotated[
        str, typer.Option(help="Losses per run: one for each sequence, all, or a number.")
    ] = "one",
    program: Annotated[
        Literal["loss", "tangent", "both"], typer.Option(help="Which kinds of program.")
    ] = "both",
    loss_slots: Annotated[
        str, typer.Option(help="LoRA copies per run of a loss program, several with commas.")
    ] = "2",
    slots: Annotated[
        str, typer.Option(help="Directions per run of a tangent program, several with commas.")
    ] = "8",
    lora: LoraFolder = None,
    lora_rank: LoraRank = None,
    lora_alpha: LoraAlpha = None,
    lora_targets: LoraTargets = None,
    lora_layers: LoraLayers = None,
    allow_portable: Annotated[
        bool, typer.Option(help="Accept operations that the backend does not take.")
    ] = False,
    seed: Seed = 0,
    parity_directions: ParityDirections = 8,
    json: JsonOption = False,
) -> None:
    """Write an ExecuTorch bundle: programs of fixed sizes, their common weights, LoRA, manifest."""
    from exporters.executorch.quiet import quiet_imports

    with quiet_imports():
        from exporters.executorch.export import export_executorch as export
    from exporters.executorch.sizes import KINDS, ProgramRequest, read_shapes

    request = _lora_request(lora, lora_rank, lora_alpha, lora_targets, lora_layers)
    programs = ProgramRequest(
        shapes=read_shapes(sizes),
        positions=positions,
        kinds=KINDS if program == "both" else (program,),
        loss_slots=tuple(integers(loss_slots)),
        tangent_slots=tuple(integers(slots)),
    )
    with progress_bars() as on_progress:
        bundle = export(
            model,
            out,
            lora=request,
            programs=programs,
            classes=classes,
            backend=backend,
            soc=soc,
            quantization=quant,
            allow_portable=allow_portable,
            seed=seed,
            parity_directions=parity_directions,
            on_progress=on_progress,
        )
    _show(bundle, json)


def _lora_request(
    folder: Path | None,
    rank: int | None,
    alpha: float | None,
    targets: str | None,
    layers: str | None,
) -> LoraRequest:
    from exporters.lora.request import LoraRequest

    fresh = {
        "rank": rank,
        "alpha": alpha,
        "targets": None if targets is None else tuple(names(targets)),
        "layers": layers,
    }
    given = {name: value for name, value in fresh.items() if value is not None}
    if folder is not None and given:
        raise typer.BadParameter(f"--lora excludes --lora-{', --lora-'.join(given)}")
    return LoraRequest(peft_folder=folder, **given)  # type: ignore[arg-type]


def _show(bundle: Bundle, json: bool) -> None:
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
        f"vocabulary {architecture.vocabulary_size}"
        + (f", {architecture.classes} classes" if architecture.classes else ""),
    )
    table.add_row(
        "base", f"{manifest.quantization}, {_weights_of(manifest) / 1e6:.2f} MB (measured)"
    )
    if manifest.soc is not None:
        table.add_row("chip", manifest.soc)
    for program in manifest.programs:
        table.add_row(program.kind, _program_text(program))
        table.add_row("", _delegation_text(program.delegation))
        if program.estimate is not None:
            table.add_row("", _estimate_text(program.estimate))
    table.add_row(
        "LoRA",
        f"rank {lora.rank}, alpha {lora.alpha:g}, {lora.parameters:,} parameters "
        f"in layers {lora.layers[0]}-{lora.layers[-1]}",
    )
    if parity is None:
        table.add_row("parity", f"not measured: nothing here runs {manifest.backend} programs")
        return table
    table.add_row(
        "parity",
        f"loss {parity.artifact_loss:.5f} against PyTorch's {parity.reference_loss:.5f}, "
        f"relative difference {parity.relative_loss_difference:.1e} (measured)",
    )
    if parity.slope_cosine is not None:
        how = ", exact tangents" if parity.epsilon is None else f" at epsilon {parity.epsilon:g}"
        table.add_row(
            "slopes",
            f"cosine {parity.slope_cosine:.5f} over {parity.directions} directions{how} (measured)",
        )
    return table


def _weights_of(manifest: Manifest) -> int:
    """Bytes of the base file, and of the programs where a backend compiled weights into them."""
    base = manifest.file("base").bytes
    if base > _NO_WEIGHTS:
        return base
    return sum(file.bytes for file in manifest.files if file.role == "program")


def _program_text(program: Program) -> str:
    slots = "LoRA copies" if program.kind == "loss" else "directions"
    return (
        f"{program.batch} x {program.length} tokens, {program.positions} positions, "
        f"{program.slots} {slots}"
    )


def _delegation_text(delegation: Delegation) -> str:
    left = ", ".join(f"{count} {name}" for name, count in delegation.portable.items())
    return (
        f"{delegation.delegated} operations on {delegation.backend} in {delegation.subgraphs} "
        f"parts; on portable kernels: {left or 'none'}"
    )


def _estimate_text(estimate: CompilerEstimate) -> str:
    traffic, memory = (
        ", ".join(f"{amount / 1e6:.2f} MB {name}" for name, amount in amounts.items())
        for amounts in (estimate.traffic_bytes, estimate.memory_bytes)
    )
    return (
        f"{estimate.cycles:,} cycles, {estimate.runs_per_second:,.0f} runs/s at "
        f"{estimate.clock_hz / 1e6:.0f} MHz; traffic {traffic}; memory {memory} "
        f"({estimate.provenance}: {estimate.compiler}, {estimate.processor}, {estimate.system}, "
        f"{estimate.memory_mode})"
    )
