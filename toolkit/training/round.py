"""One round of FwdLLM: probes until the pacing rule is content, then an update.

Each increment asks for more probes and keeps those that are there; nothing is measured again.
More clients are asked first; when all have been, each is asked for more probes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, islice

from exporters.lora.combination import DirectionName
from exporters.lora.support import ParameterLayout
from toolkit.errors import AllClientsFailedError
from toolkit.gradient.forward_gradient import Measured, Values
from toolkit.pacing.evidence import Decision, Evidence
from toolkit.pacing.fwdllm_gate import FwdllmGate
from toolkit.pacing.proposed import proposed_direction
from toolkit.protocol.order import Along, Probes
from toolkit.protocol.seed_book import SeedBook
from toolkit.robust.admission import without_huge
from toolkit.sampling.context import SamplingContext
from toolkit.server_update.head import HeadGradient, mean_head_gradient
from toolkit.server_update.memory import GRADIENT
from toolkit.server_update.state import Plan, RoundState
from toolkit.training.contract import (
    AlongSlope,
    Lost,
    Measurement,
    PacingStep,
    Share,
    TrainingConfig,
)
from toolkit.training.exchange import Answered, Ask, Exchange
from toolkit.training.participation import divide, draw_batch, order_of_round
from toolkit.training.plan_round import plan_round

# Along the replicas' momentum, which a guided update rule wants to know the slope of.
_ALONG_MOMENTUM = Along(1.0, ())
# Increments of a round draw from seed streams of their own: round + increment · 2³².
_STREAMS_PER_INCREMENT = 1 << 32


@dataclass
class RoundOutcome:
    """What a round measured, and the plan that came of it; None: no update."""

    plan: Plan | None = None
    measurements: list[Measurement] = field(default_factory=list)
    along: list[AlongSlope] = field(default_factory=list)
    head_gradient: Values | None = None  # the clients' mean
    lost: list[Lost] = field(default_factory=list)
    slopes_asked: Counter[str] = field(default_factory=Counter)
    pacing: list[PacingStep] = field(default_factory=list)


class Round:
    """Runs one round; see `run`.

    Args:
        state: where the run stands, with the replica and the server's memory.
        shares: of all clients of the run, in the order of the run's description.
    """

    def __init__(
        self,
        config: TrainingConfig,
        state: RoundState,
        *,
        layout: ParameterLayout,
        shares: Mapping[str, Share],
        exchange: Exchange,
        book: SeedBook,
    ) -> None:
        self._config = config
        self._state = state
        self._number = state.round_number
        self._layout = layout
        self._shares = shares
        self._positions = {client: position for position, client in enumerate(shares)}
        self._exchange = exchange
        self._book = book
        free = exchange.await_free_clients(self._number)
        self._idle = order_of_round(config, self._number, [c for c in shares if c in free])
        self._asked: list[str] = []
        self._answered: list[Answered] = []  # to orders with probes
        self._orders_sent = 0
        self._outcome = RoundOutcome()

    def run(self) -> RoundOutcome:
        """Probes, decides, and plans the update.

        Raises:
            AllClientsFailedError: nobody gave a usable answer to the round's first orders.
        """
        counts = self._first_probes()
        for increment in count():
            enough = self._enough if increment == 0 else _never
            self._probe(self._probe_asks(counts, first=increment == 0), enough)
            if not self._outcome.measurements:
                raise self._nobody()
            planned = self._plan()
            slopes = self._slopes_along(planned) if self._config.pacing.wants_along else []
            decision = self._decide(planned, slopes, increment)
            if decision.commit:
                self._outcome.plan = planned
            if decision.commit or not decision.more_probes:
                break
            counts = self._more_probes(decision.more_probes)
        return self._outcome

    def _first_probes(self) -> dict[str, int]:
        """Everyone's own share; of some clients, the round's probes in proportion to theirs."""
        wanted = self._config.clients
        if wanted is None:
            return {
                client: self._shares[client].probes for client in self._recruit(len(self._idle))
            }
        recruits = self._recruit(wanted)
        return divide(self._config.probes, {client: self._shares[client] for client in recruits})

    def _enough(self, answered: Collection[str]) -> bool:
        """Whether these clients' shares are what the round wanted.

        Together the shares may be more: an allocation hands out spare probes for those that are
        away or late.
        """
        if self._config.clients is not None:
            return False
        shares = [self._shares[client] for client in answered]
        worth = math.fsum(share.probes * share.weight for share in shares)
        return worth >= self._config.probes * (1 - 1e-9)

    def _more_probes(self, probes: int) -> dict[str, int]:
        """By clients that were not asked yet, as many as it takes; without any, by all asked."""
        recruits, room = 0, probes
        while recruits < len(self._idle) and room > 0:
            room -= self._shares[self._idle[recruits]].probes
            recruits += 1
        clients = self._recruit(recruits) or self._asked
        return divide(probes, {client: self._shares[client] for client in clients})

    def _recruit(self, clients: int) -> list[str]:
        chosen, self._idle = self._idle[:clients], self._idle[clients:]
        self._asked += chosen
        return chosen

    def _probe_asks(self, counts: Mapping[str, int], *, first: bool) -> dict[str, Ask]:
        names = self._names(counts)
        same_batch = isinstance(self._config.pacing, FwdllmGate)  # as its authors have it
        asks = {}
        for client in counts:
            share = self._shares[client]
            asks[client] = Ask(
                batch=self._batch(client, 0 if same_batch else self._orders_sent),
                probes=Probes(
                    directions=names[client],
                    distribution=self._config.distribution,
                    support=share.support,
                    directions_per_pass=share.directions_per_pass,
                ),
                along=_ALONG_MOMENTUM if first and self._guided() else None,
                exact_head=first and self._config.head is not None,
            )
        return asks

    def _names(self, counts: Mapping[str, int]) -> dict[str, tuple[DirectionName, ...]]:
        """Each client's directions: its own, or the first of those that all share."""
        if self._config.shared_directions:
            names = self._directions(max(counts.values(), default=0))
            return {client: tuple(names[:number]) for client, number in counts.items()}
        following = iter(self._directions(sum(counts.values())))
        return {client: tuple(islice(following, number)) for client, number in counts.items()}

    def _directions(self, number: int) -> list[DirectionName]:
        config = self._config
        stream = self._number + self._orders_sent * _STREAMS_PER_INCREMENT
        self._book.note(*config.sampling.drawn(stream, number))
        context = SamplingContext(
            run_seed=config.seed,
            stream=stream,
            layout=self._layout,
            distribution=config.distribution,
            support=config.support,
            guide=self._state.memory.arrays.get(GRADIENT),
            round_number=self._number,
        )
        return config.sampling.propose(context, number)

    def _slopes_along(self, planned: Plan) -> list[float]:
        """The slopes of all clients that have answered, along the proposed update."""
        along = proposed_direction(planned.update, self._measured(), self._layout)
        there = dict.fromkeys(answered.client for answered in self._answered)
        increment = self._orders_sent
        asks = {client: Ask(self._batch(client, increment), along=along) for client in there}
        # The slopes that the proposal was made of are settled: only these are judged here.
        kept = self._without_huge(self._gather(asks, _never))
        self._outcome.along += [_along_slope(one) for one in kept]
        return [one.slope for one in self._outcome.along if one.increment == increment]

    def _gather(
        self, asks: Mapping[str, Ask], enough: Callable[[Collection[str]], bool]
    ) -> Sequence[Answered]:
        """Sends asks as the round's next increment."""
        increment = self._orders_sent
        self._orders_sent += 1
        for client, ask in asks.items():
            self._outcome.slopes_asked[client] += ask.slopes
        replica = self._state.replica
        gathered = self._exchange.gather(self._number, increment, asks, replica, enough)
        self._outcome.lost += gathered.lost
        return gathered.answers

    def _probe(self, asks: Mapping[str, Ask], enough: Callable[[Collection[str]], bool]) -> None:
        """Adds the answers, and late ones: before an update is proposed, and not after.

        A slope along an update that is no longer proposed says nothing.
        """
        answers = self._gather(asks, enough)
        late = [one for one in self._exchange.take_late() if one.order.probes is not None]
        self._answered = self._without_huge([*self._answered, *answers, *late])
        current = [one for one in self._answered if one.order.round_number == self._number]
        outcome = self._outcome
        outcome.measurements = [self._measurement(one) for one in self._answered]
        guides = [_along_slope(one) for one in current if one.order.along is not None]
        outcome.along = [*guides, *(one for one in outcome.along if one.of == "update")]
        head_gradients = [
            HeadGradient(one.answer.head_gradient, float(len(one.order.batch)))
            for one in current
            if one.answer.head_gradient is not None
        ]
        outcome.head_gradient = mean_head_gradient(head_gradients) if head_gradients else None

    def _without_huge(self, answers: Sequence[Answered]) -> list[Answered]:
        """Those in proportion to each other: without one, another may turn out to be huge."""
        kept = list(answers)
        while True:
            fitting, refused = without_huge([one.admitted for one in kept], self._config.admission)
            if not refused:
                return kept
            self._outcome.lost += [
                Lost(
                    client=one.client,
                    asked_in=one.round_number,
                    increment=one.increment,
                    reason=f"refused ({one.reason}): {one.detail}",
                )
                for one in refused
            ]
            left = {id(one) for one in fitting}
            kept = [one for one in kept if id(one.admitted) in left]

    def _measurement(self, answered: Answered) -> Measurement:
        order, answer = answered.order, answered.answer
        assert order.probes is not None
        return Measurement(
            client=answered.client,
            asked_in=order.round_number,
            increment=order.increment,
            distribution=order.probes.distribution,
            support=order.probes.support,
            directions=order.probes.directions,
            slopes=tuple(answer.slopes.tolist()),
            weight=self._shares[answered.client].weight
            * staleness_weight(self._number - order.round_number),
            loss=None if math.isnan(answer.loss) else answer.loss,
            values_from=answer.values_from,
            seconds=answer.seconds,
            bytes_down=answered.bytes_down,
            bytes_up=answered.bytes_up,
        )

    def _plan(self) -> Plan:
        outcome = self._outcome
        return plan_round(
            self._config,
            self._state,
            outcome.measurements,
            outcome.along,
            outcome.head_gradient,
            self._layout,
        )

    def _decide(self, planned: Plan, slopes: Sequence[float], increment: int) -> Decision:
        measured = self._measured()
        probes = sum(len(one.directions) for one in measured)
        decision = self._config.pacing.decide(
            Evidence(
                measured=measured,
                along_slopes=slopes,
                layout=self._layout,
                increment=increment,
                probes_so_far=probes,
                step_ratio=planned.step_ratio,
            ),
        )
        self._outcome.pacing.append(
            PacingStep(
                probes=probes,
                statistic=decision.statistic if math.isfinite(decision.statistic) else None,
                commit=decision.commit,
                reason=decision.reason,
            )
        )
        return decision

    def _measured(self) -> list[Measured]:
        return [one.measured(self._number) for one in self._outcome.measurements]

    def _batch(self, client: str, draw: int) -> tuple[int, ...]:
        share = self._shares[client]
        return draw_batch(
            self._config,
            self._number,
            draw,
            self._positions[client],
            examples=share.examples,
            size=share.batch,
        )

    def _guided(self) -> bool:
        return self._config.update.wants_guide and self._state.replica.memory is not None

    def _nobody(self) -> AllClientsFailedError:
        reasons = "; ".join(
            dict.fromkeys(f"{one.client}: {one.reason}" for one in self._outcome.lost)
        )
        diverged = bool(self._outcome.lost) and all(
            "not finite" in one.reason for one in self._outcome.lost
        )
        return AllClientsFailedError(
            f"no client answered in round {self._number}: {reasons or 'none was there'}",
            remedy="start a new run with a smaller step: this one has diverged"
            if diverged
            else "mend the devices and run the same command again: it continues here",
        )


def _never(_: Collection[str]) -> bool:
    return False


def staleness_weight(rounds: int) -> float:
    """What a slope counts that was measured at the values of `rounds` rounds before.

    (1 + rounds)^-½, the polynomial discount of FedAsync (Xie et al., 2019) with its exponent ½.
    """
    return float((1 + rounds) ** -0.5)


def _along_slope(answered: Answered) -> AlongSlope:
    slope = answered.answer.along_slope
    assert slope is not None  # the doorkeeper refused the answer otherwise
    return AlongSlope(
        client=answered.client,
        increment=answered.order.increment,
        of="momentum" if answered.order.along == _ALONG_MOMENTUM else "update",
        slope=slope,
    )
