"""What `fwdllm train` and `fwdllm demo` print of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from toolkit.cli.console import print_json

if TYPE_CHECKING:
    from toolkit.backprop.contract import BackpropRound
    from toolkit.training.contract import RoundRecord
    from toolkit.training.privacy_spent import PrivacySpent
    from toolkit.training.run_on_fleet import TrainingResult


def round_line(record: RoundRecord) -> str:
    """One line about a round."""
    line = outcome_line(record)
    if record.pacing and (len(record.pacing) > 1 or not record.committed):
        line += f"  {record.probes} probes: {escape(record.pacing[-1].reason)}"
    for lost in record.lost:
        line += f"  [red]lost {escape(lost.client)}: {escape(lost.reason)}[/]"
    if record.stopped is not None:
        line += f"  [yellow]stopped: {escape(record.stopped)}[/]"
    return line


def summary(rounds: Sequence[RoundRecord]) -> Table:
    """The evaluated rounds."""
    return _evaluated(rounds, "probes so far", [one.probes for one in rounds])


def baseline_summary(rounds: Sequence[BackpropRound]) -> Table:
    """The evaluated rounds of a baseline."""
    return _evaluated(rounds, "steps so far", [one.backward_passes for one in rounds])


def _evaluated(
    rounds: Sequence[RoundRecord] | Sequence[BackpropRound], work: str, counts: Sequence[int]
) -> Table:
    table = Table("round", "held-out loss", "accuracy", work, "bytes down", "bytes up")
    for record in rounds:
        if record.evaluation is None:
            continue
        done = rounds[: record.round + 1]
        accuracy = record.evaluation.accuracy
        table.add_row(
            str(record.round),
            f"{record.evaluation.loss:.4f}",
            "" if accuracy is None else f"{accuracy:.3f}",
            str(sum(counts[: record.round + 1])),
            f"{sum(other.bytes_down for other in done):,}",
            f"{sum(other.bytes_up for other in done):,}",
        )
    return table


def outcome_line(record: RoundRecord | BackpropRound) -> str:
    """One line about what a round came to."""
    line = f"round {record.round:>4}"
    if record.loss is not None:
        line += f"  loss on devices {record.loss:.4f}"
    if record.evaluation is not None:
        line += f"  held out {record.evaluation.loss:.4f}"
        if record.evaluation.accuracy is not None:
            line += f"  accuracy {record.evaluation.accuracy:.3f}"
    return line


def privacy_line(spent: PrivacySpent) -> str:
    """One line about what the noise on slopes was worth."""
    return (
        f"private: ε = {spent.epsilon:.3g} at δ = {spent.delta:g} (modelled, of the logged "
        f"rounds) for the client that was asked for the most slopes, {spent.slopes:,}"
    )


def print_result_json(result: TrainingResult, spent: PrivacySpent | None) -> None:
    """The run as one document, without what each client measured."""
    print_json(
        {
            "run": str(result.folder),
            "privacy": None if spent is None else spent.model_dump(),
            "rounds": [
                record.model_dump(mode="json", exclude={"measurements", "update"})
                for record in result.rounds
            ],
        }
    )
