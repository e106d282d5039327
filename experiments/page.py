"""docs/results.md: tables and plots made of finished results, and of nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from experiments import figures
from experiments.catalogue import TARGET, groups
from experiments.contract import AllocationResult, MemoryResult, RunResult
from experiments.phones import Fleet
from experiments.summary import Spent
from exporters.durable_files import write_atomically

_MEBIBYTE = 1 << 20
_FLEET = Fleet()
_ABLATIONS = ("pacing", "sampling", "estimator")
_TITLES = {
    "minilm-iid": "MiniLM, everything by directions, IID",
    "minilm-dirichlet": "MiniLM, everything by directions, Dirichlet 0.5",
    "exact-head-iid": "MiniLM, exact head, IID",
    "exact-head-dirichlet": "MiniLM, exact head, Dirichlet 0.5",
    "stories-iid": "stories260K, IID",
    "pacing": "Pacing",
    "sampling": "Sampling",
    "estimator": "Estimator",
}


def write_page(
    results: Sequence[RunResult],
    memory: MemoryResult | None,
    allocation: AllocationResult | None,
    docs: Path,
    *,
    quick: bool,
    unfinished: Sequence[str] = (),
) -> Path:
    """Writes results.md and images/results-*.png into `docs`; returns the page.

    Args:
        unfinished: names of declared runs that have left no result; the page says so.
    """
    images = docs / "images"
    images.mkdir(parents=True, exist_ok=True)
    parts = [_introduction(results, quick)]
    for group in groups([one.experiment for one in results]):
        members = [one for one in results if one.experiment.group == group]
        image = images / f"results-{group}.png"
        parts.append(f"## {_TITLES[group]}\n")
        if group in _ABLATIONS:
            figures.spread(members, image)
            parts.append(_ablation_table(members))
        else:
            figures.curves(members, image)
            parts.append(_table(members))
        parts.append(f"![{_TITLES[group]}](images/{image.name})\n")
    if allocation is not None:
        image = images / "results-allocation.png"
        figures.allocation(allocation, image)
        parts.append(_allocation_table(allocation))
        parts.append(f"![Allocation](images/{image.name})\n")
    if memory is not None:
        image = images / "results-memory.png"
        figures.memory(memory, image)
        parts.append(_memory_table(memory))
        parts.append(f"![Memory](images/{image.name})\n")
    if unfinished:
        parts.append(_unfinished(unfinished))
    page = docs / "results.md"
    write_atomically(page, "\n".join(parts))
    return page


def _unfinished(names: Sequence[str]) -> str:
    missing = Counter(name.partition(".")[0] for name in names)
    listed = "\n".join(f"- `{group}`: {count} runs" for group, count in missing.items())
    return (
        f"## Not run yet\n\nDeclared in `experiments/catalogue.py`, no result here:\n\n{listed}\n"
    )


def _introduction(results: Sequence[RunResult], quick: bool) -> str:
    versions = sorted({f"{k} {v}" for one in results for k, v in one.versions.items()})
    command = "python -m experiments all" + (" --quick" if quick else "")
    size = "These are the quick versions, which show that the script works, no more.\n\n"
    return f"""# Results

Written by `{command}` from the finished runs in `results/`; `python -m experiments page` writes it
again from them alone. Made with {", ".join(versions) or "no finished runs"}.

{size if quick else ""}AG News, 4 classes. Accuracy is that of rows of the test file that no client
has. A probe is one slope along one direction on one batch of one client. Forward and backward
passes are batches through the adapted layers; "example passes" counts the examples in them, so
that batches of different size compare. Bytes are measured payload, without what carries it. Hours
are **modelled**: every client is a phone that sustains {_FLEET.flops / 1e9:g} GFLOP/s, has
{_FLEET.bits_per_s / 1e6:g} Mb/s in either direction and {_FLEET.latency_s:g} s of latency per
round; a backward pass costs as much as a forward pass, and frozen layers below the first adapted
one are cached. Everything else is measured, in simulation on one machine.
"""


def _table(results: Sequence[RunResult]) -> str:
    rows = [
        "| method | trained | accuracy | until | rounds | probes | passes forward / backward "
        "| example passes | MiB down / up | hours (modelled) |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        reached = result.reaches(TARGET)
        last = result.rounds[-1].round
        final = result.final_accuracy
        name = result.experiment.method
        accuracy = "" if final is None else f"{final:.4f}"
        if reached is not None and reached < last:
            rows.append(_row(name, result, accuracy, f"{TARGET:g}", reached))
            name = accuracy = ""
        rows.append(_row(name, result, accuracy, "the end", last))
    return "\n".join(rows) + "\n"


def _row(name: str, result: RunResult, accuracy: str, until: str, rounds: int) -> str:
    spent = Spent.of(result, rounds, _FLEET)
    cells = (
        name,
        f"{result.parameters:,}",
        accuracy,
        until,
        f"{spent.rounds:,}",
        f"{spent.probes:,}",
        f"{spent.forward_passes:,} / {spent.backward_passes:,}",
        f"{spent.examples:,}",
        f"{spent.bytes_down / _MEBIBYTE:.2f} / {spent.bytes_up / _MEBIBYTE:.2f}",
        f"{spent.hours:.3f}",
    )
    return f"| {' | '.join(cells)} |"


def _ablation_table(results: Sequence[RunResult]) -> str:
    rows = [
        "| variant | seeds | final accuracy, mean (lowest to highest) | probes | example passes |",
        "|---|---|---|---|---|",
    ]
    for method in dict.fromkeys(one.experiment.method for one in results):
        runs = [one for one in results if one.experiment.method == method]
        finals = [one.final_accuracy for one in runs if one.final_accuracy is not None]
        spent = [Spent.of(one, one.rounds[-1].round, _FLEET) for one in runs]
        rows.append(
            f"| {method} | {len(runs)} "
            f"| {mean(finals):.4f} ({min(finals):.4f} to {max(finals):.4f}) "
            f"| {mean(one.probes for one in spent):,.0f} "
            f"| {mean(one.examples for one in spent):,.0f} |"
        )
    return "\n".join(rows) + "\n"


def _allocation_table(result: AllocationResult) -> str:
    rows = [
        "## Allocation\n",
        f"Modelled seconds until {result.probes:,} probes are back from {result.phones} phones "
        f"whose speeds are drawn, over {result.trials} rounds; mean over the fleets (lowest to "
        "highest).\n",
        "| policy | median | 95 % of rounds | rounds with all probes |",
        "|---|---|---|---|",
    ]
    for policy in dict.fromkeys(row.policy for row in result.rows):
        of_policy = [row for row in result.rows if row.policy == policy]
        complete = mean(row.complete_share for row in of_policy)
        rows.append(
            f"| {policy} | {_spread([row.median_s for row in of_policy])} "
            f"| {_spread([row.p95_s for row in of_policy])} | {complete:.0%} |"
        )
    return "\n".join(rows) + "\n"


def _spread(seconds: Sequence[float | None]) -> str:
    known = [one for one in seconds if one is not None]
    if len(known) < len(seconds):
        return "never"
    return f"{mean(known):.1f} ({min(known):.1f} to {max(known):.1f})"


def _memory_table(result: MemoryResult) -> str:
    rows = [
        "## Memory of a client\n",
        f"Resident memory of one step on MiniLM, a batch of {result.batch} examples of "
        f"{result.tokens} tokens, measured in one process per method. The number in a name is how "
        "many directions share a pass.\n",
        "| method | model loaded, MiB | peak, MiB | of the step, MiB |",
        "|---|---|---|---|",
    ]
    for method, (loaded, peak) in result.rows.items():
        rows.append(
            f"| {method} | {loaded / _MEBIBYTE:.0f} | {peak / _MEBIBYTE:.0f} "
            f"| {(peak - loaded) / _MEBIBYTE:.0f} |"
        )
    return "\n".join(rows) + "\n"
