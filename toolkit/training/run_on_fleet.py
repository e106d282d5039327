"""Runs or continues a run over any fleet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from toolkit.protocol.fleet import Fleet
from toolkit.protocol.seed_book import SeedBook
from toolkit.protocol.update import Values
from toolkit.training.contract import RoundRecord
from toolkit.training.evaluator import Evaluator
from toolkit.training.replay import replay
from toolkit.training.run_folder import RunFolder
from toolkit.training.server import Server, guard_verdict


@dataclass(frozen=True)
class TrainingResult:
    """A finished run: its folder, its values, and its log.

    `values` are those of the best evaluation where a guard stopped the run, else the last ones.
    """

    folder: Path
    values: Values
    rounds: tuple[RoundRecord, ...]


def run_on_fleet(
    fleet: Fleet,
    folder: RunFolder,
    *,
    evaluator: Evaluator | None = None,
    book: SeedBook | None = None,
    on_round: Callable[[RoundRecord], None] | None = None,
) -> TrainingResult:
    """Runs the rounds that the folder's log lacks; `setup.begin_or_continue` has begun the run.

    Args:
        book: the run's seeds, where the fleet shares it.
        on_round: called after each round that this call completes, and after the evaluation of
            the start, which is round 0.

    Raises:
        TrainingError: the run cannot continue (AllClientsFailedError: nobody answered).
        FwdllmError: the evaluation failed.
    """
    book = book or SeedBook(folder.description().config.seed)
    with folder.locked():
        server = Server(fleet, folder, evaluator, book)
        for record in server.remaining_rounds():
            if on_round is not None:
                on_round(record)
    values = server.state.replica.values
    if server.log[-1].stopped is not None:
        verdict = guard_verdict(folder.description().config, server.log)
        if verdict is not None and verdict.best_version is not None:
            values = replay(folder.path, verdict.best_version)
    return TrainingResult(folder.path, values, tuple(server.log))
