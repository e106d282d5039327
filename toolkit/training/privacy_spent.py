"""What a private run has told of its clients, from its log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from exporters.contract import Part
from toolkit.privacy.accountant import epsilon_of_slopes
from toolkit.training.contract import RoundRecord, TrainingConfig


class PrivacySpent(Part):
    """(ε, δ) of the client that was asked for the most slopes, `slopes` in the whole run.

    It is an upper bound for the rounds of the log, against somebody who sees which clients take
    part; the unit and the assumptions are those of `toolkit.privacy.accountant`. Every slope that
    was asked for counts, whether its answer arrived or not. A round that a crash cut short counts
    once, as it was repeated: where other clients were there by then, what it first asked for is
    not in the log.
    """

    epsilon: float
    delta: float
    slopes: int


def privacy_spent(
    config: TrainingConfig, rounds: Sequence[RoundRecord], delta: float
) -> PrivacySpent | None:
    """Of the rounds of a run; None where its slopes are not private.

    Raises:
        TrainingError: delta is not between 0 and 1.
    """
    if config.privacy is None:
        return None
    asked = Counter[str]()
    for record in rounds:
        asked.update(record.slopes_asked)
    slopes = max(asked.values(), default=0)
    return PrivacySpent(
        epsilon=epsilon_of_slopes(config.privacy.multiplier, slopes, delta),
        delta=delta,
        slopes=slopes,
    )
