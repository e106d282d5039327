"""A training run: loss and accuracy by round, and what the clients did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from toolkit.report.content import Plot, Section, Table, columns
from toolkit.report.drawing import FIRST, SOFT, THIRD, figure
from toolkit.report.thinning import spread_out
from toolkit.training.contract import RoundRecord, TrainingConfig
from toolkit.training.run_folder import RunFolder


def run_section(run: RunFolder, anchor: str) -> Section:
    """Loss and accuracy by round, and what each round cost."""
    description, rounds = run.description(), run.rounds()
    evaluated = [record for record in rounds if record.evaluation is not None]
    config = description.config
    facts = [
        ("rounds", f"{max(len(rounds) - 1, 0)} of {config.rounds}"),
        (
            "probes per round",
            f"{config.probes} before pacing, {_mean_probes(rounds):.0f} in the mean",
        ),
        ("estimator", f"{config.estimator}, epsilon {config.epsilon:g}, batch {config.batch}"),
        ("LoRA parameters", f"{description.layout.parameters:,}"),
        ("pacing, sampling, update", _rules(config)),
        (
            "encoded messages, without what carries them",
            f"{sum(record.bytes_down for record in rounds):,} bytes down, "
            f"{sum(record.bytes_up for record in rounds):,} bytes up",
        ),
    ]
    if evaluated:
        facts.append(("held-out loss (measured)", _first_to_last(evaluated)))
    plots = [_plot(rounds, evaluated)] if len(rounds) > 1 else []
    return Section(run.path.name, anchor, facts, plots=plots, tables=[_clients(rounds)])


def _first_to_last(evaluated: Sequence[RoundRecord]) -> str:
    first, last = evaluated[0].evaluation, evaluated[-1].evaluation
    assert first is not None and last is not None
    text = f"{first.loss:.4f} to {last.loss:.4f}"
    if first.accuracy is not None and last.accuracy is not None:
        text += f", accuracy {first.accuracy:.3f} to {last.accuracy:.3f}"
    return f"{text}, on {last.positions} targets"


def _plot(rounds: Sequence[RoundRecord], evaluated: Sequence[RoundRecord]) -> Plot:
    trained = [(record.round, record.loss) for record in rounds if record.loss is not None]
    held_out = [
        (record.round, record.evaluation.loss, record.evaluation.accuracy)
        for record in evaluated
        if record.evaluation is not None
    ]
    scored = [(number, accuracy) for number, _, accuracy in held_out if accuracy is not None]

    def draw() -> Figure:
        drawn = figure(height=3.0)
        losses, accuracies = drawn.subplots(1, 2)
        if trained:
            losses.plot(*zip(*trained, strict=True), color=SOFT, lw=1, label="on devices")
        if held_out:
            numbers, loss, _ = zip(*held_out, strict=True)
            losses.plot(numbers, loss, "o-", color=FIRST, label="held out")
        losses.set_ylabel("loss, nats")
        if trained or held_out:
            losses.legend()
        if scored:
            accuracies.plot(*zip(*scored, strict=True), "s-", color=THIRD)
            accuracies.set_ylim(0, 1)
        else:
            accuracies.text(0.5, 0.5, "not evaluated", ha="center", color=SOFT)
        accuracies.set_ylabel("accuracy, held out")
        for axes in (losses, accuracies):
            axes.set_xlabel("round")
            axes.grid()
        return drawn

    return Plot(
        "Loss and accuracy by round",
        f"{len(rounds) - 1} rounds, evaluated {len(held_out)} times"
        + (f": held-out loss (measured) {_first_to_last(evaluated)}." if evaluated else "."),
        draw,
        _rounds(rounds),
    )


def _rounds(rounds: Sequence[RoundRecord]) -> Table:
    shown = [rounds[place] for place in spread_out(np.arange(len(rounds)))]
    some = f", {len(shown)} of {len(rounds)}" if len(shown) < len(rounds) else ""
    return Table(
        f"Rounds{some} (measured)",
        columns("#round", "#loss on devices", "#loss held out", "#accuracy", "#probes", "#seconds"),
        [
            (
                str(record.round),
                "" if record.loss is None else f"{record.loss:.4f}",
                "" if (seen := record.evaluation) is None else f"{seen.loss:.4f}",
                "" if seen is None or seen.accuracy is None else f"{seen.accuracy:.3f}",
                str(record.probes),
                f"{record.seconds:.3g}",
            )
            for record in shown
        ],
    )


def _rules(config: TrainingConfig) -> str:
    return ", ".join(rule.kind for rule in (config.pacing, config.sampling, config.update))


def _mean_probes(rounds: Sequence[RoundRecord]) -> float:
    counts = [record.probes for record in rounds if record.round > 0]
    return sum(counts) / len(counts) if counts else 0.0


def _clients(rounds: Sequence[RoundRecord]) -> Table:
    rows = []
    answers = [one for record in rounds for one in record.measurements]
    lost = [one.client for record in rounds for one in record.lost]
    for client in dict.fromkeys([*(one.client for one in answers), *lost]):
        own = [one for one in answers if one.client == client]
        rows.append(
            (
                client,
                str(sum(len(one.directions) for one in own)),
                f"{sum(one.seconds for one in own):.1f}",
                f"{sum(one.bytes_down for one in own):,}",
                f"{sum(one.bytes_up for one in own):,}",
                str(lost.count(client)),
            )
        )
    return Table(
        "Clients, over the whole run (measured; bytes of the encoded messages)",
        columns("client", "#probes", "#seconds", "#bytes down", "#bytes up", "#orders lost"),
        rows,
    )
