"""A training run on the page."""

from __future__ import annotations

from collections.abc import Sequence

from toolkit.report.section import Section, Table, figure, svg
from toolkit.training.contract import RoundRecord, TrainingConfig
from toolkit.training.run_folder import RunFolder


def run_section(run: RunFolder) -> Section:
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
    plots = [_plot(rounds)] if len(rounds) > 1 else []
    return Section("run", run.path.name, facts, plots=plots, tables=[_clients(rounds)])


def _first_to_last(evaluated: Sequence[RoundRecord]) -> str:
    first, last = evaluated[0].evaluation, evaluated[-1].evaluation
    assert first is not None and last is not None
    text = f"{first.loss:.4f} to {last.loss:.4f}"
    if first.accuracy is not None and last.accuracy is not None:
        text += f", accuracy {first.accuracy:.3f} to {last.accuracy:.3f}"
    return f"{text}, on {last.positions} targets"


def _plot(rounds: Sequence[RoundRecord]) -> str:
    drawn = figure()
    losses, accuracies = drawn.subplots(1, 2)
    trained = [(record.round, record.loss) for record in rounds if record.loss is not None]
    if trained:
        losses.plot(*zip(*trained, strict=True), color="tab:gray", alpha=0.6, label="on devices")
    held_out = [
        (record.round, record.evaluation) for record in rounds if record.evaluation is not None
    ]
    losses.plot(
        [number for number, _ in held_out],
        [evaluation.loss for _, evaluation in held_out],
        "o-",
        label="held out",
    )
    losses.set_ylabel("loss, nats")
    losses.legend(fontsize=8)
    scored = [(number, e.accuracy) for number, e in held_out if e.accuracy is not None]
    if scored:
        accuracies.plot(*zip(*scored, strict=True), "o-", color="tab:green")
        accuracies.set_ylim(0, 1)
    accuracies.set_ylabel("accuracy, held out")
    for axes in (losses, accuracies):
        axes.set_xlabel("round")
        axes.grid(alpha=0.3)
    return svg(drawn)


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
        caption="Clients, over the whole run (measured; bytes of the encoded messages)",
        headers=("client", "probes", "seconds", "bytes down", "bytes up", "orders lost"),
        rows=rows,
    )
