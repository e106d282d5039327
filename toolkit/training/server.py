"""The server of a run: rounds over a fleet, each on the disk before the next begins."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

from toolkit.errors import TrainingError
from toolkit.protocol.exact import exact_norm, values_sha256
from toolkit.protocol.fleet import Fleet, Traffic
from toolkit.protocol.seed_book import SeedBook
from toolkit.protocol.update import RoundUpdate
from toolkit.server_update.guard import HeldOut, Verdict
from toolkit.training.contract import Evaluation, RoundRecord, StoredUpdate, TrainingConfig
from toolkit.training.evaluator import Evaluator
from toolkit.training.exchange import Exchange
from toolkit.training.packed import pack
from toolkit.training.round import Round, RoundOutcome
from toolkit.training.run_folder import RunFolder
from toolkit.training.run_state import RunState


class Server:
    """Begins or continues the run of a folder; the run's description is there already.

    A run that was killed anywhere continues after its last whole round. With clients that answer
    the same orders alike, it ends with the same values as one that was never interrupted.

    `book` is that of the run's seed; the fleet may share it.
    """

    def __init__(
        self, fleet: Fleet, folder: RunFolder, evaluator: Evaluator | None, book: SeedBook
    ) -> None:
        folder.drop_torn_line()
        self.log: list[RoundRecord] = folder.rounds()
        self.state: RunState = folder.latest_state(self.log)
        self._fleet = fleet
        self._folder = folder
        self._evaluator = evaluator
        description = folder.description()
        self._config = description.config
        self._layout = description.layout
        self._shares = {share.client: share for share in description.shares}
        self._history: list[RoundUpdate] = [record.update.update() for record in self.log[1:]]
        self._book = book
        self._exchange = Exchange(
            fleet,
            history=self._history,
            book=self._book,
            fresh=not self._history,
            estimator=self._config.estimator,
            epsilon=self._config.epsilon,
            admission=self._config.admission,
            deadline_s=self._config.deadline_s,
            staleness=self._config.staleness,
        )

    def remaining_rounds(self) -> Iterator[RoundRecord]:
        """Runs the rounds that the log lacks; each is on the disk before it is yielded.

        Raises:
            AllClientsFailedError: nobody answered in a round; the rounds before it are kept.
        """
        while len(self.log) <= self._config.rounds and not (self.log and self.log[-1].stopped):
            number = len(self.log)
            record = self._start() if number == 0 else self._round(number)
            verdict = guard_verdict(self._config, [*self.log, record])
            if verdict is not None and verdict.stop:
                record = record.model_copy(update={"stopped": verdict.reason})
            self._folder.append(record)
            self.log.append(record)
            last = number == self._config.rounds or record.stopped is not None
            if last or number % self._config.checkpoint_every == 0:
                self._folder.save_checkpoint(number, self.state)
            yield record

    def _start(self) -> RoundRecord:
        values = self.state.replica.values
        return RoundRecord(
            round=0,
            loss=None,
            probes=0,
            gradient_norm=0.0,
            values_norm=exact_norm(values),
            step_norm=0.0,
            values_sha256=values_sha256(values),
            seconds=0.0,
            bytes_down=0,
            bytes_up=0,
            evaluation=self._evaluate(),
        )

    def _round(self, number: int) -> RoundRecord:
        started, traffic = time.monotonic(), self._fleet.traffic()
        down, up = self._exchange.bytes_down, self._exchange.bytes_up
        outcome = Round(
            self._config,
            self.state.before(number, self._config.rounds),
            layout=self._layout,
            shares=self._shares,
            exchange=self._exchange,
            book=self._book,
        ).run()
        values_norm = exact_norm(self.state.replica.values)
        if outcome.plan is not None:
            replica = self.state.replica.after(outcome.plan.update, self._layout)
            if not np.isfinite(replica.values).all():
                raise TrainingError(
                    f"the update of round {number} leads to values that are not finite",
                    remedy="start a new run with a smaller step",
                )
            self.state = RunState(replica, outcome.plan.memory)
        record = self._record(
            number,
            outcome,
            values_norm=values_norm,
            seconds=time.monotonic() - started,
            bytes_down=self._exchange.bytes_down - down,
            bytes_up=self._exchange.bytes_up - up,
        )
        self._history.append(record.update.update())
        socket_down, socket_up = _between(traffic, self._fleet.traffic())
        due = number % self._config.evaluate_every == 0 or number == self._config.rounds
        return record.model_copy(
            update={
                "socket_bytes_down": socket_down,
                "socket_bytes_up": socket_up,
                "evaluation": self._evaluate() if due else None,
            }
        )

    def _record(
        self,
        number: int,
        outcome: RoundOutcome,
        *,
        values_norm: float,
        seconds: float,
        bytes_down: int,
        bytes_up: int,
    ) -> RoundRecord:
        plan = outcome.plan
        losses = [one.loss for one in outcome.measurements if one.loss is not None]
        return RoundRecord(
            round=number,
            loss=float(np.mean(losses)) if losses else None,
            probes=sum(len(one.directions) for one in outcome.measurements),
            gradient_norm=plan.gradient_norm if plan else 0.0,
            values_norm=plan.values_norm if plan else values_norm,
            step_norm=plan.step_norm if plan else 0.0,
            values_sha256=values_sha256(self.state.replica.values),
            seconds=seconds,
            bytes_down=bytes_down,
            bytes_up=bytes_up,
            slopes_asked=dict(outcome.slopes_asked) if self._config.privacy else {},
            measurements=tuple(outcome.measurements),
            along=tuple(outcome.along),
            head_gradient=None if outcome.head_gradient is None else pack(outcome.head_gradient),
            lost=tuple(outcome.lost),
            pacing=tuple(outcome.pacing),
            update=StoredUpdate.of(plan.update) if plan else StoredUpdate(),
        )

    def _evaluate(self) -> Evaluation | None:
        if self._evaluator is None:
            return None
        return self._evaluator.evaluate(self.state.replica.values)


def guard_verdict(config: TrainingConfig, log: Sequence[RoundRecord]) -> Verdict | None:
    """What the run's guard says of its log; None without a guard."""
    if config.guard is None:
        return None
    return config.guard.assess(
        [one.step_ratio for one in log],
        [HeldOut(one.round, one.evaluation.loss) for one in log if one.evaluation is not None],
    )


def _between(before: Traffic | None, after: Traffic | None) -> tuple[int | None, int | None]:
    if before is None or after is None:
        return None, None
    return after.down - before.down, after.up - before.up
