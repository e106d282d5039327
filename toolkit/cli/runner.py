"""`fwdllm runner`: the native runners' binaries."""

from __future__ import annotations

from typing import Annotated

import typer

from android_harness.building.engines import Engine
from toolkit.cli.console import err, out, print_json
from toolkit.cli.options import JsonOption

app = typer.Typer(help="Build the native runners.", no_args_is_help=True)


@app.callback()
def _commands() -> None:
    """A runner evaluates perturbed LoRA on the device: one for GGUF bundles, one for ExecuTorch."""


@app.command("build")
def build(
    abi: Annotated[
        str | None, typer.Option(help="x86_64 or arm64-v8a; this machine's when absent.")
    ] = None,
    backend: Annotated[
        Engine,
        typer.Option(help="What computes: ggml (GGUF bundles) or executorch (.pte bundles)."),
    ] = "ggml",
    accelerators: Annotated[
        list[str] | None,
        typer.Option(
            "--with", help="vulkan, opencl or hexagon, beside ggml's CPU; may be repeated."
        ),
    ] = None,
    test: Annotated[bool, typer.Option("--test", help="Also run the runner's ctest.")] = False,
    json: JsonOption = False,
) -> None:
    """Compile a runner, or do nothing when this version is already built."""
    from android_harness.building.accelerators import ACCELERATORS
    from android_harness.building.runner_build import build_runner, host_abi, run_runner_tests

    def show(line: str) -> None:
        err.print(line.rstrip(), highlight=False, markup=False)

    chosen = [each for each in ACCELERATORS if each in (accelerators or ())]
    if unknown := set(accelerators or ()) - set(chosen):
        raise typer.BadParameter(f"no accelerator is called {unknown.pop()}", param_hint="--with")
    binary = build_runner(abi, chosen, engine=backend, on_output=show)
    if test:
        run_runner_tests(engine=backend, on_output=show)
    abi = abi or host_abi()
    if json:
        print_json({"abi": abi, "backend": backend, "runner": str(binary)})
    else:
        out.print(f"{backend} runner for {abi}: {binary}", highlight=False, soft_wrap=True)
