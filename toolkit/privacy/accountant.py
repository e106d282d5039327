"""What noise on slopes is worth: (ε, δ) by Rényi differential privacy.

**Unit.** One client: two worlds are neighbours if they differ in all of the examples of one
client (replace-one). The clipped number is a mean over a batch, so a single example of it can
move it just as far as the whole batch can: the same bound holds for one example, and no better
one.

**Sensitivity.** In a round in which it takes part, a client releases q slopes, each within
[−C, C]. Another data set moves each by at most 2C, all of them together by 2C√q in Euclidean
norm. With noise of z·C on each, a round is a Gaussian mechanism of noise multiplier z/(2√q). The
directions are the server's choice and tell nothing of the data. q counts every slope: all
increments, and the slopes along an update.

**Composition.** Over rounds, Rényi divergences add up (Mironov, CSF 2017). Against somebody who
sees which clients take part, such as the server, only the number of rounds in which a client takes
part helps. Somebody who sees the noisy slopes but not whose they are gains less from a client that
is one of a random cohort: sampling without replacement (Wang, Balle & Kasiviswanathan, AISTATS
2019). Both assume that a client's answers in a round depend on its data alone, and that nothing
else leaves it (no losses, no exact gradients).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import dp_accounting
from dp_accounting import rdp

from toolkit.errors import TrainingError


@dataclass(frozen=True)
class Participation:
    """How often clients speak.

    Args:
        rounds: of the run.
        slopes: q, the most that one client releases in one round.
        cohort: clients asked in a round, of `population`; a uniformly random choice.
        hidden: the adversary cannot see who is asked.
        most_rounds: the most rounds in which one client takes part, where the server sees to it;
            None: it may be all of them.
    """

    rounds: int
    slopes: int
    cohort: int
    population: int
    hidden: bool = False
    most_rounds: int | None = None


def epsilon(multiplier: float, participation: Participation, delta: float) -> float:
    """ε of one client at δ, after all rounds, for `SlopeNoise.multiplier`; an upper bound.

    Raises:
        TrainingError: a number is out of its range.
    """
    _check(multiplier, participation, delta)
    if participation.rounds == 0:
        return 0.0
    effective = multiplier / (2 * math.sqrt(participation.slopes))
    accountant = rdp.RdpAccountant(
        neighboring_relation=dp_accounting.NeighboringRelation.REPLACE_ONE
    )
    if participation.hidden and participation.cohort < participation.population:
        # The accountant takes the sensitivity of a replaced record to be 1 here, as ours is.
        event = dp_accounting.SampledWithoutReplacementDpEvent(
            source_dataset_size=participation.population,
            sample_size=participation.cohort,
            event=dp_accounting.GaussianDpEvent(effective),
        )
        count = participation.rounds
    else:
        event = dp_accounting.GaussianDpEvent(effective)
        count = min(participation.rounds, participation.most_rounds or participation.rounds)
    accountant.compose(event, count)
    return float(accountant.get_epsilon(delta))


def epsilon_of_slopes(multiplier: float, slopes: int, delta: float) -> float:
    """ε at δ of a client that releases this many slopes in all, over whatever rounds.

    Gaussian mechanisms of one multiplier compose to the one that releases everything at once.

    Raises:
        TrainingError: a number is out of its range.
    """
    at_once = Participation(rounds=1, slopes=max(1, slopes), cohort=1, population=1)
    return epsilon(multiplier, at_once, delta) if slopes else 0.0


def multiplier_for(target: float, participation: Participation, delta: float) -> float:
    """The smallest noise multiplier, to 0.1 %, that keeps ε at or below `target`.

    Raises:
        TrainingError: a number is out of its range, or no multiplier up to 10⁶ will do.
    """
    _check(1.0, participation, delta)
    if not target > 0:
        raise TrainingError(f"epsilon must be above 0, got {target}")
    low, high = 1e-3, 1e-3
    while epsilon(high, participation, delta) > target:
        low, high = high, high * 2
        if high > 1e6:
            raise TrainingError(f"no noise keeps epsilon at or below {target}")
    while high / low > 1.001:
        middle = math.sqrt(low * high)
        low, high = (
            (middle, high) if epsilon(middle, participation, delta) > target else (low, middle)
        )
    return high


def _check(multiplier: float, participation: Participation, delta: float) -> None:
    p = participation
    if not (
        multiplier > 0
        and 0 < delta < 1
        and p.rounds >= 0
        and p.slopes >= 1
        and 1 <= p.cohort <= p.population
        and (p.most_rounds is None or p.most_rounds >= 1)
    ):
        raise TrainingError(
            "the privacy of a run needs noise above 0, delta between 0 and 1, at least one slope "
            "and a cohort within the population"
        )
