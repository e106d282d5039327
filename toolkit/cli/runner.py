"""`fwdllm runner`: the native runners' binaries."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from android_harness.building.engines import Engine
from android_harness.building.toolchains import Toolchain
from toolkit.cli.console import err, out, print_json
from toolkit.cli.options import JsonOption

if TYPE_CHECKING:
    from android_harness.building.built_runners import BuiltRunner

app = typer.Typer(help="Build and keep the native runners.", no_args_is_help=True)


@app.callback()
def _commands() -> None:
    """A runner evaluates perturbed LoRA on the device: one for GGUF bundles, one for ExecuTorch."""


@app.command("build")
def build(
    abi: Annotated[
        str | None,
        typer.Option(
            show_default="this machine",
            help="For phones: arm64-v8a or x86_64, one runner for each of the variants.",
        ),
    ] = None,
    variants: Annotated[
        list[str] | None,
        typer.Option(
            "--variant",
            show_default="all of them",
            help="Of arm64-v8a: baseline, dotprod, i8mm; of x86_64: baseline, avx2. May be "
            "repeated.",
        ),
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
    toolchain: Annotated[
        Toolchain | None,
        typer.Option(
            show_default="ndk where ANDROID_NDK_HOME is set, else zig",
            help="What compiles for phones. zig is fetched by pip.",
        ),
    ] = None,
    test: Annotated[bool, typer.Option("--test", help="Also run the runner's ctest.")] = False,
    json: JsonOption = False,
) -> None:
    """Compile runners, or do nothing when these very ones are already built."""
    from android_harness.building.accelerators import ACCELERATORS
    from android_harness.building.built_runners import read_built_runner
    from android_harness.building.recipe import native_recipe, phone_recipes
    from android_harness.building.runner_build import build as build_recipe
    from android_harness.building.runner_build import run_runner_tests

    def show(line: str) -> None:
        err.print(line.rstrip(), highlight=False, markup=False, soft_wrap=True)

    chosen = [each for each in ACCELERATORS if each in (accelerators or ())]
    if unknown := set(accelerators or ()) - set(chosen):
        raise typer.BadParameter(f"no accelerator is called {unknown.pop()}", param_hint="--with")
    if abi is None and (variants or toolchain):
        raise typer.BadParameter("--variant and --toolchain are for phones: name their --abi")
    recipes = (
        [native_recipe(chosen, engine=backend)]
        if abi is None
        else phone_recipes(abi, variants, toolchain, chosen, engine=backend)
    )
    built = []
    for number, recipe in enumerate(recipes, start=1):
        if len(recipes) > 1:
            show(f"runner {number} of {len(recipes)}: {' '.join(recipe.labels)}")
        built.append(read_built_runner(build_recipe(recipe, on_output=show)))
    if test:
        run_runner_tests(engine=backend, on_output=show)
    _show(built, json)


@app.command("list")
def list_runners(json: JsonOption = False) -> None:
    """Show the runners that are built; a stale one is of other sources than these."""
    from android_harness.building.built_runners import built_runners

    _show(built_runners(), json)


@app.command("clean")
def clean(json: JsonOption = False) -> None:
    """Remove the stale runners, and show which they were."""
    from android_harness.building.built_runners import remove_stale_runners

    _show(remove_stale_runners(), json)


def _show(runners: list[BuiltRunner], json: bool) -> None:
    if json:
        print_json([asdict(runner) for runner in runners])
        return
    for runner in runners:
        how = " ".join([runner.engine, *runner.labels])
        state = "current" if runner.current else "[yellow]stale[/]"
        out.print(
            f"{how}: {state}, {runner.bytes / 2**20:.1f} MiB, SHA-256 {runner.sha256[:16]}…\n"
            f"  {escape(str(runner.path))}",
            highlight=False,
            soft_wrap=True,
        )
