"""Runs the experiments of docs/results.md and writes that page from what they left."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from experiments.allocation import run_allocation
from experiments.catalogue import experiments
from experiments.contract import RoundResult
from experiments.convergence import write_tables
from experiments.execute import execute
from experiments.memory import run_memory
from experiments.page import write_page
from experiments.problem import Sources, Workbench
from experiments.store import Store
from exporters.errors import FwdllmError

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)

QuickOption = Annotated[
    bool, typer.Option("--quick", help="Small versions, which run in minutes on two cores.")
]
OutOption = Annotated[Path, typer.Option(help="Folder of finished and begun runs.")]
DataOption = Annotated[Path, typer.Option(help="Folder with ag_news/ and stories260K/.")]
MinilmOption = Annotated[
    Path | None, typer.Option(help="Folder of the MiniLM encoder; default: the installed package.")
]
DocsOption = Annotated[Path, typer.Option(help="Where results.md and images/ are written.")]
TablesOption = Annotated[
    Path, typer.Option(help="Where the convergence tables of `fwdllm plan` are written.")
]
ThreadsOption = Annotated[int, typer.Option(min=1, help="Of PyTorch.")]

_ROOT = Path(__file__).parents[1]
_OUT = _ROOT / "results"
_DATA = _ROOT.parent / "shared" / "data"
_DOCS = _ROOT / "docs"
_TABLES = _ROOT / "toolkit" / "plan" / "tables"
# Experiments that train nothing, beside those of the catalogue.
_MEMORY, _ALLOCATION = "memory", "allocation"
_TRIALS = 200


@app.command(name="list")
def list_experiments(quick: QuickOption = False, out: OutOption = _OUT) -> None:
    """Names of all experiments, and which are finished."""
    store = Store(out, quick)
    done = {one.name: store.result(one) is not None for one in experiments(quick)}
    done |= {_MEMORY: store.memory() is not None, _ALLOCATION: store.allocation() is not None}
    for name, finished in done.items():
        typer.echo(f"{'done' if finished else '    '}  {name}")


@app.command()
def run(
    names: Annotated[list[str], typer.Argument(help="Names, or the beginnings of several.")],
    quick: QuickOption = False,
    out: OutOption = _OUT,
    data: DataOption = _DATA,
    minilm: MinilmOption = None,
    threads: ThreadsOption = 1,
) -> None:
    """Run experiments that are not finished; an interrupted one continues."""
    torch.set_num_threads(threads)
    store, sources = Store(out, quick), Sources.find(data, minilm)

    def asked(name: str) -> bool:
        return any(name.startswith(beginning) for beginning in names)

    # Those of one model together: its frozen layers' states are computed once.
    chosen = sorted(
        (one for one in experiments(quick) if asked(one.name)),
        key=lambda one: one.problem.model.model_dump_json(),
    )
    if not chosen and not asked(_MEMORY) and not asked(_ALLOCATION):
        raise typer.BadParameter(f"no experiment is called {', '.join(names)}")
    workbench = Workbench(sources)
    try:
        for experiment in chosen:
            if store.result(experiment) is None:
                typer.echo(experiment.name)
                store.save(execute(experiment, workbench, store.runs, _print_round))
        if asked(_ALLOCATION) and store.allocation() is None:
            typer.echo(_ALLOCATION)
            store.save(run_allocation(trials=_TRIALS // 10 if quick else _TRIALS))
        if asked(_MEMORY) and store.memory() is None:
            typer.echo(_MEMORY)
            store.save(run_memory(sources.minilm_folder()))
    except FwdllmError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error


@app.command(name="all")
def run_all(
    quick: QuickOption = False,
    out: OutOption = _OUT,
    data: DataOption = _DATA,
    minilm: MinilmOption = None,
    docs: DocsOption = _DOCS,
    tables: TablesOption = _TABLES,
    threads: ThreadsOption = 1,
) -> None:
    """Run everything that is not finished, then write the page."""
    run([""], quick, out, data, minilm, threads)
    page(quick, out, docs, tables)


@app.command()
def page(
    quick: QuickOption = False,
    out: OutOption = _OUT,
    docs: DocsOption = _DOCS,
    tables: TablesOption = _TABLES,
) -> None:
    """Write results.md, its plots and the convergence tables from the finished runs alone."""
    store = Store(out, quick)
    found = {one.name: store.result(one) for one in experiments(quick)}
    finished = [result for result in found.values() if result is not None]
    if not quick:  # whose counts say nothing
        write_tables(finished, tables)
    written = write_page(
        finished,
        store.memory(),
        store.allocation(),
        docs,
        quick=quick,
        unfinished=[name for name, result in found.items() if result is None],
    )
    typer.echo(str(written))


def _print_round(result: RoundResult) -> None:
    if result.accuracy is not None:
        typer.echo(f"  round {result.round}: accuracy {result.accuracy:.4f}")
