"""What a private run has told of its clients, from its log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from exporters.contract import Part
from toolkit.privacy.accountant import Participation, epsilon
from toolkit.training.contract import RoundRecord, TrainingConfig


class PrivacySpent(Part):
    """(ε, δ) of the client that was asked for the most slopes, `slopes` in the whole run.

    It is an upper bound, against somebody who sees which clients take part; the unit and the
    assumptions are those of `toolkit.privacy.accountant`. Every slope that was asked for counts,
    whether its answer arrived or not, but not those of a round that a crash cut short and that
    was then divided otherwise.
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
    # Gaussian mechanisms of one multiplier compose to the one that releases all slopes at once.
    once = Participation(rounds=min(1, slopes), slopes=max(1, slopes), cohort=1, population=1)
    return PrivacySpent(
        epsilon=epsilon(config.privacy.multiplier, once, delta), delta=delta, slopes=slopes
    )
