"""docs/results.md: tables, findings and plots made of finished results, and of nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from experiments import figures, tables
from experiments.catalogue import groups
from experiments.contract import AllocationResult, MemoryResult, RunResult
from experiments.findings import findings
from experiments.phones import Fleet
from exporters.durable_files import write_atomically

_FLEET = Fleet()
_ABLATIONS = ("pacing", "sampling", "estimator", "label-prior")
_TITLES = {
    "minilm-iid": "MiniLM, everything by directions, IID",
    "minilm-dirichlet": "MiniLM, everything by directions, Dirichlet 0.5",
    "exact-head-iid": "MiniLM, exact head, IID",
    "exact-head-dirichlet": "MiniLM, exact head, Dirichlet 0.5",
    "stories-iid": "stories260K, IID",
    "stories-dirichlet": "stories260K, Dirichlet 0.5",
    "head-iid": "MiniLM, the head alone by directions, IID",
    "head-dirichlet": "MiniLM, the head alone by directions, Dirichlet 0.5",
    "pacing": "Pacing",
    "sampling": "Sampling",
    "estimator": "Estimator",
    "label-prior": "Label prior, Dirichlet 0.5",
}
_OURS = (
    "Ours is exact slopes (tangent) on batches of 32, SGD of rate {rate} and a label prior of 0.5; "
)
_EXACT_HEAD = (
    "The head moves by its exact gradient, which needs no probes. Forward-gradient LoRA is "
    "{matrices} of one layer (queries, keys, values, rank 1), 1,000 exact slopes a round and "
    "FedYogi; BP-LoRA is A and B of the same."
)
# By the beginnings of groups' names.
_ABOUT = {
    "minilm": "LoRA of rank 1 on the last layer's queries and values, and the classification "
    "head, all moved along directions. "
    + _OURS.format(rate="0.15")
    + "FwdLLM as published is central differences on batches of 8, its gate, its filter, and SGD "
    "of rate 0.01.",
    "head": "The head alone, along directions. "
    + _OURS.format(rate="0.4")
    + "between it and FwdLLM as published stands FwdLLM's own gate, filter, Gaussian directions "
    "and central differences with our batch and rate.",
    "exact-head-iid": _EXACT_HEAD.format(matrices="the B matrices"),
    "exact-head-dirichlet": _EXACT_HEAD.format(matrices="A and B")
    + " That A moves too was chosen by runs on 16,000 rows of the training file that were judged "
    "on its other 4,000.",
    "stories": "A LLaMA of 260 thousand parameters that was trained on children's stories, LoRA of "
    "rank 4 on all queries and values, labels by prompt and verbalizer. Ours is exact slopes on "
    "batches of 32, the trust-ratio step and a label prior of 0.5.",
    "pacing": "MiniLM's head alone along directions, IID, as are the next two.",
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
        parts += [f"{about}\n" for name, about in _ABOUT.items() if group.startswith(name)]
        if group in _ABLATIONS:
            figures.variants(members, image)
            parts.append(tables.ablation(members, _FLEET))
        else:
            figures.methods(members, image)
            parts.append(tables.comparison(members, _FLEET))
            parts += [f"{finding}\n" for finding in findings(members)]
        parts.append(f"![{_TITLES[group]}](images/{image.name})\n")
    if allocation is not None:
        image = images / "results-allocation.png"
        figures.allocation(allocation, image)
        parts.append(f"## Allocation\n\n{tables.allocation(allocation)}")
        parts.append(f"![Allocation](images/{image.name})\n")
    if memory is not None:
        image = images / "results-memory.png"
        figures.memory(memory, image)
        parts.append(f"## Memory of a client\n\n{tables.memory(memory)}")
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

Rates, batches and the label prior of ours were chosen by runs that were judged on rows of the same
test file, so its accuracies are optimistic; the published settings were not tuned. A target counts
at the first evaluation that reaches it, also where a run ends below it. Where budgets of example
passes differ, a bound on the probes says nothing of compute.
"""
