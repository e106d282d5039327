"""Threads and cores beside each other."""

from __future__ import annotations

from matplotlib.figure import Figure

from device_bench.profiles.profile import BackendProfile, Placement
from toolkit.report.content import Plot, Section, Table, columns
from toolkit.report.drawing import FIRST, THIRD, figure, name_rows, note_row
from toolkit.report.wording import UNKNOWN, placement_name


def placements_part(backend: BackendProfile, anchor: str) -> Section | None:
    """None where there was but one placement."""
    placements = backend.placements
    if len(placements) < 2:
        return None
    (chosen,) = (each for each in placements if each.chosen)
    facts = [("chosen, and all that follows is of it", _name(chosen))]
    compared = all(each.relative_seconds is not None for each in placements)
    if not compared:
        facts.append(("not compared", "the placements share no arm that was measured"))
    table = Table(
        "Placements, fastest first (measured)",
        columns("placement", "#threads", "cores", "#relative seconds", "#arms compared"),
        [
            (
                _name(each),
                str(each.threads),
                each.cpu_mask or "any",
                UNKNOWN if each.relative_seconds is None else f"{each.relative_seconds:.3f}",
                str(each.arms),
            )
            for each in placements
        ],
    )
    own_anchor = f"{anchor}_placements"
    if not compared:
        return Section("Threads and cores", own_anchor, facts, tables=[table])
    return Section("Threads and cores", own_anchor, facts, plots=[_plot(placements, table)])


def _name(placement: Placement) -> str:
    return placement_name(placement.threads, placement.cpu_mask)


def _plot(placements: tuple[Placement, ...], table: Table) -> Plot:
    slowest = placements[-1]

    def draw() -> Figure:
        drawn = figure(height=0.8 + 0.3 * len(placements))
        axes = drawn.subplots()
        seconds = [each.relative_seconds or 0.0 for each in placements]
        colours = [THIRD if each.chosen else FIRST for each in placements]
        axes.barh(range(len(placements)), seconds, height=0.62, color=colours, alpha=0.75)
        for row, relative in enumerate(seconds):
            note_row(axes, row, f"× {relative:.2f}")
        name_rows(axes, [_name(each) for each in placements])
        axes.set_xlabel("seconds over those of the chosen placement")
        axes.grid(axis="x")
        return drawn

    return Plot(
        "Seconds by placement",
        f"{_name(placements[0])} is the fastest; {_name(slowest)} takes "
        f"{slowest.relative_seconds or 0.0:.2f} times as long.",
        draw,
        table,
        f"Geometric means over the {placements[0].arms} arms that all placements share (measured).",
    )
