"""The tables of the page, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from experiments.catalogue import TARGET
from experiments.contract import AllocationResult, MemoryResult, RunResult
from experiments.phones import Fleet
from experiments.summary import Spent, by_method

_MEBIBYTE = 1 << 20


def comparison(results: Sequence[RunResult], fleet: Fleet) -> str:
    """What each method of a group reached and spent, in the mean over its seeds."""
    rows = [
        "| method | seeds | trained | accuracy | until | rounds | probes "
        "| passes forward / backward | example passes | MiB down / up | hours (modelled) |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for method, runs in by_method(results).items():
        finals = [one.final_accuracy for one in runs if one.final_accuracy is not None]
        cells = [method, str(len(runs)), f"{runs[0].parameters:,}", _spread(finals, 4)]
        reached = [(one, until) for one in runs if (until := one.reaches(TARGET)) is not None]
        # A run that gets there with its last round is told by the line of its end.
        if any(until < one.rounds[-1].round for one, until in reached):
            some = "" if len(reached) == len(runs) else f" ({len(reached)} of {len(runs)} seeds)"
            spent = [Spent.of(one, until, fleet) for one, until in reached]
            rows.append(_row(cells, f"{TARGET:g}{some}", spent))
            cells = [""] * len(cells)
        ends = [Spent.of(one, one.rounds[-1].round, fleet) for one in runs]
        rows.append(_row(cells, "the end", ends))
    return "\n".join(rows) + "\n"


def ablation(results: Sequence[RunResult], fleet: Fleet) -> str:
    """The final accuracy of each variant of a group, and what it spent."""
    rows = [
        "| variant | seeds | final accuracy, mean (lowest to highest) | probes | example passes |",
        "|---|---|---|---|---|",
    ]
    for method, runs in by_method(results).items():
        finals = [one.final_accuracy for one in runs if one.final_accuracy is not None]
        spent = [Spent.of(one, one.rounds[-1].round, fleet) for one in runs]
        rows.append(
            f"| {method} | {len(runs)} | {_spread(finals, 4)} "
            f"| {mean(one.probes for one in spent):,.0f} "
            f"| {mean(one.examples for one in spent):,.0f} |"
        )
    return "\n".join(rows) + "\n"


def allocation(result: AllocationResult) -> str:
    """Seconds of a round under each policy."""
    rows = [
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
            f"| {policy} | {_seconds([row.median_s for row in of_policy])} "
            f"| {_seconds([row.p95_s for row in of_policy])} | {complete:.0%} |"
        )
    return "\n".join(rows) + "\n"


def memory(result: MemoryResult) -> str:
    """Resident memory of a client's step."""
    rows = [
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


def _row(first_cells: Sequence[str], until: str, spent: Sequence[Spent]) -> str:
    """Means over the runs."""

    def average(field: str, form: str = ",.0f", unit: float = 1) -> str:
        return format(mean(getattr(one, field) for one in spent) / unit, form)

    cells = (
        *first_cells,
        until,
        average("rounds"),
        average("probes"),
        f"{average('forward_passes')} / {average('backward_passes')}",
        average("examples"),
        f"{average('bytes_down', '.2f', _MEBIBYTE)} / {average('bytes_up', '.2f', _MEBIBYTE)}",
        average("hours", ".3f"),
    )
    return f"| {' | '.join(cells)} |"


def _seconds(values: Sequence[float | None]) -> str:
    known = [one for one in values if one is not None]
    return "never" if len(known) < len(values) else _spread(known, 1)


def _spread(values: Sequence[float], digits: int) -> str:
    """The mean, and the range where there are several."""
    if not values:
        return ""
    text = f"{mean(values):.{digits}f}"
    if len(values) == 1:
        return text
    return f"{text} ({min(values):.{digits}f} to {max(values):.{digits}f})"
