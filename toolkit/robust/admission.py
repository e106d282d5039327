"""Which of the messages that come in are taken for answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import PositiveFloat

from exporters.contract import Part
from toolkit.protocol.order import Answer, Failure, Order, Reply

Reason = Literal[
    "unexpected",  # no order waits for it: a replay, a forged name, or too late
    "duplicate",  # the order has been answered
    "malformed",  # a number or an array of another kind or size than the order asks for
    "not_finite",
    "wrong_hash",  # measured at other values than the order's
    "huge",
]

# Refusals of an answer to an order that waits for one.
_OF_ITS_ORDER = ("malformed", "not_finite", "wrong_hash")
# With fewer clients there is no majority that could say what is usual.
_FEWEST_FOR_A_MEDIAN = 3


class AdmissionRules(Part):
    """What is refused beside what no honest client sends.

    Args:
        magnitude: an answer is huge if its largest |slope| exceeds this many times the median,
            over the round's clients, of their root mean squares; the slope along the update and
            the norm of the head's gradient are held to the medians of theirs. None: nothing is
            huge. Judged where at least three clients answered.
        loss: `withheld` where clients keep their losses private and send NaN.
    """

    magnitude: PositiveFloat | None = 100.0
    loss: Literal["required", "withheld"] = "required"


@dataclass(frozen=True)
class Admitted:
    """An answer that fits its order."""

    client: str
    order: Order
    answer: Answer


@dataclass(frozen=True)
class Refusal:
    """A message that was not taken; `detail` is one clause for the log."""

    client: str
    round_number: int
    increment: int
    reason: Reason
    detail: str


@dataclass(frozen=True)
class Admission:
    """What became of some replies, each in one list. `failures`: clients that could not answer."""

    admitted: list[Admitted]
    failures: list[Reply]
    refusals: list[Refusal]


class Doorkeeper:
    """Lets in one answer per order that was sent, and only such as the order asks for.

    A server that resumes registers the orders that it sends anew. Answers to orders of its
    earlier life are judged as answers to these; the hash tells whether they are.
    """

    def __init__(self, rules: AdmissionRules) -> None:
        self._rules = rules
        self._waiting: dict[tuple[str, int, int], Order] = {}
        self._answered: set[tuple[str, int, int]] = set()

    def expect(self, orders: Mapping[str, Order]) -> None:
        """Registers orders, by client, as they are sent; one sent again may be answered again."""
        for client, order in orders.items():
            key = (client, order.round_number, order.increment)
            self._waiting[key] = order
            self._answered.discard(key)

    def close_before(self, round_number: int) -> None:
        """From here on, answers to orders of earlier rounds are unexpected."""
        self._waiting = {k: order for k, order in self._waiting.items() if k[1] >= round_number}
        self._answered = {key for key in self._answered if key[1] >= round_number}

    def judge(self, replies: Sequence[Reply]) -> Admission:
        """Sorts the replies, in their order; magnitudes are left to `without_huge`."""
        admission = Admission([], [], [])
        for reply in replies:
            outcome = reply.outcome
            problem = self._problem(reply)
            if problem is not None:
                admission.refusals.append(_refusal(reply.client, outcome, *problem))
                if problem[0] in _OF_ITS_ORDER:
                    self._close(outcome, reply.client)
                continue
            key = (reply.client, outcome.round_number, outcome.increment)
            order = self._waiting.pop(key)
            self._answered.add(key)
            if isinstance(outcome, Failure):
                admission.failures.append(reply)
            else:
                admission.admitted.append(Admitted(reply.client, order, outcome))
        return admission

    def _close(self, outcome: Answer | Failure, client: str) -> None:
        """An order has one answer: after a false one, a better one would not be trusted either."""
        if _is_count(outcome.round_number) and _is_count(outcome.increment):
            key = (client, outcome.round_number, outcome.increment)
            if self._waiting.pop(key, None) is not None:
                self._answered.add(key)

    def _problem(self, reply: Reply) -> tuple[Reason, str] | None:
        outcome = reply.outcome
        if not (_is_count(outcome.round_number) and _is_count(outcome.increment)):
            return "malformed", "the round and the increment are not whole numbers"
        key = (reply.client, outcome.round_number, outcome.increment)
        if key in self._answered:
            return "duplicate", "this order has been answered"
        if key not in self._waiting:
            return "unexpected", "no order waits for it"
        if isinstance(outcome, Failure):
            return None
        order = self._waiting[key]
        return _misshapen(outcome, order) or _untrue(outcome, order, self._rules)


def without_huge(
    admitted: Sequence[Admitted], rules: AdmissionRules
) -> tuple[list[Admitted], list[Refusal]]:
    """Drops answers that are out of all proportion to the others of their round.

    Clients are compared, so it takes all answers of a round at once.
    """
    if rules.magnitude is None or len({one.client for one in admitted}) < _FEWEST_FOR_A_MEDIAN:
        return list(admitted), []
    usual = _usual(admitted)
    kept: list[Admitted] = []
    refusals: list[Refusal] = []
    for one in admitted:
        detail = _excess(one.answer, usual, rules.magnitude)
        if detail is None:
            kept.append(one)
        else:
            refusals.append(_refusal(one.client, one.answer, "huge", detail))
    return kept, refusals


def _refusal(client: str, outcome: Answer | Failure, reason: Reason, detail: str) -> Refusal:
    return Refusal(client, outcome.round_number, outcome.increment, reason, detail)


def _misshapen(answer: Answer, order: Order) -> tuple[Reason, str] | None:
    probes = 0 if order.probes is None else len(order.probes.directions)
    if not _is_vector(answer.slopes, probes):
        return "malformed", f"the slopes are not {probes} float32 numbers"
    if (answer.along_slope is None) != (order.along is None):
        return "malformed", "only one of order and answer has a slope along a direction"
    if (answer.head_gradient is None) == order.exact_head:
        return "malformed", "only one of order and answer has a gradient of the head"
    if answer.head_gradient is not None and not _is_vector(answer.head_gradient, None):
        return "malformed", "the head's gradient is not a vector of float32 numbers"
    along = () if answer.along_slope is None else (answer.along_slope,)
    for number in (answer.loss, answer.seconds, *along):
        if not isinstance(number, int | float):
            return "malformed", f"a {type(number).__name__} stands for a number"
    return None


def _untrue(answer: Answer, order: Order, rules: AdmissionRules) -> tuple[Reason, str] | None:
    if answer.values_sha256 != order.values_sha256:
        return "wrong_hash", "it was measured at other values than the order's"
    numbers = {"number of seconds": answer.seconds, "slope along": answer.along_slope}
    if rules.loss == "required":
        numbers["loss"] = answer.loss
    for name, number in numbers.items():
        if number is not None and not math.isfinite(number):
            return "not_finite", f"the {name} is {number}"
    vectors = {"slopes": answer.slopes, "head's gradient": answer.head_gradient}
    for name, vector in vectors.items():
        if vector is not None and not np.isfinite(vector).all():
            return "not_finite", f"some of the {name} is not finite"
    return None


def _is_count(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 0


def _is_vector(array: object, length: int | None) -> bool:
    return (
        isinstance(array, np.ndarray)
        and array.dtype == np.float32
        and array.ndim == 1
        and (length is None or len(array) == length)
    )


def _excess(answer: Answer, usual: Mapping[str, float], limit: float) -> str | None:
    for what, size in _sizes(answer, largest=True).items():
        if size > limit * usual[what] > 0:
            times = size / usual[what]
            return f"its {what} is {times:.3g} times the median, and {limit:g} times is allowed"
    return None


def _usual(admitted: Sequence[Admitted]) -> dict[str, float]:
    """The median over the answers of each part's size."""
    sizes: dict[str, list[float]] = {}
    for one in admitted:
        for what, size in _sizes(one.answer, largest=False).items():
            sizes.setdefault(what, []).append(size)
    return {what: float(np.median(own)) for what, own in sizes.items()}


def _sizes(answer: Answer, *, largest: bool) -> dict[str, float]:
    """How large each part of an answer is: its largest slope, or the slopes' root mean square."""
    sizes = {}
    if len(answer.slopes):
        slopes = np.abs(answer.slopes.astype(np.float64))
        root = math.sqrt(float(np.mean(np.square(slopes))))
        sizes["largest slope"] = float(slopes.max()) if largest else root
    if answer.along_slope is not None:
        # Increments measure along different directions.
        what = f"slope along the direction of increment {answer.increment}"
        sizes[what] = abs(answer.along_slope)
    if answer.head_gradient is not None:
        squares = np.square(answer.head_gradient.astype(np.float64))
        sizes["head gradient"] = math.sqrt(float(np.sum(squares)))
    return sizes
