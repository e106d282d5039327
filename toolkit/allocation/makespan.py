"""The fastest division of probes over devices of different speed; exact, for millions of devices.

A device may have several options (settings it could run), of which it runs one. Option s finishes
its n-th probe at fixed_s + seconds_s · n, and a probe of it is worth weight_s. At time T a device
has reached at most g(T) = max over its options of weight · (probes finished by T), a staircase
that only rises. So W is reached soonest at the smallest T with Σ g(T) ≥ W, and this T is a
completion time of some option. With one option each and weights of 1 it is the W-th smallest
completion time of all devices together: a selection problem (Frederickson and Johnson, 1982).

The search narrows an interval around that time, keeps only the devices whose staircase still has
a step inside, and sorts the few completion times that remain.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolkit.allocation.options import Counts, Division, Options, Seconds
from toolkit.allocation.staircases import Staircases, enough

# Sorting this many completion times costs less than further narrowing.
_SMALL_POOL = 4096


def divide(options: Options, wanted: float, floors: Counts | None = None) -> Division:
    """The division worth at least `wanted` that is done first; no other is done earlier.

    With weights of 1 it has exactly `wanted` probes, unless the floors ask for more. Of equal
    completion times the device that comes first gets the probe.

    Args:
        wanted: Σ weight · probes to reach, above 0.
        floors: int64 [devices], the fewest probes of each device; None: 0.

    Raises:
        ValueError: the caps leave too little room, a floor is above its device's caps, or an
            argument is out of range.
    """
    problem = Staircases.of(options, wanted, floors)
    search = _Search(problem, wanted)
    search.narrow()
    division = search.division()
    return Division(_earliest(problem.options, division), division.counts)


def minimum_makespan(
    seconds_per_probe: Seconds, fixed_seconds: Seconds, caps: Counts, probes: int
) -> Counts:
    """Probes per device, int64 [devices], with the smallest possible makespan.

    Args:
        seconds_per_probe: float64 [devices], above 0.
        fixed_seconds: float64 [devices], at least 0; paid once by a device that runs any probe.
        caps: int64 [devices], the most probes each device may run.
        probes: how many to divide, at least 1.

    Of equal completion times the device that comes first gets the probe.

    Raises:
        ValueError: the caps leave room for fewer than `probes`, or an argument is out of range.
    """
    return divide(Options.one_each(seconds_per_probe, fixed_seconds, caps), probes).counts


def makespan(seconds_per_probe: Seconds, fixed_seconds: Seconds, counts: Counts) -> float:
    """When the last of the devices that have probes is done, in seconds."""
    times = fixed_seconds + seconds_per_probe * counts
    return float(np.max(times, where=counts > 0, initial=0.0))


def fractional_lower_bound(options: Options, wanted: float, floors: Counts | None = None) -> float:
    """The makespan if probes could be split at will: no division into whole probes is faster.

    Whole probes cost about half a probe per device more, so the two differ by about 1 / (2 q)
    where devices run q probes each.

    Raises:
        ValueError: as `divide`.
    """
    problem = Staircases.of(options, wanted, floors)
    return max(problem.fractional_time(wanted), problem.time_of_floors)


def nothing_faster(
    options: Options, wanted: float, makespan_s: float, floors: Counts | None = None
) -> bool:
    """Proves that no division into whole probes ends before `makespan_s`.

    True when what all devices together can finish strictly before it falls short of `wanted`, or
    when the floors alone last that long. An evaluation of the definition, apart from the search.
    """
    problem = Staircases.of(options, wanted, floors)
    before = float(np.nextafter(makespan_s, 0.0))
    return problem.time_of_floors > before or problem.worth(before) < enough(wanted)


class _Search:
    """The interval (low, high] that holds the wanted time, and the devices that change inside it.

    What the other devices reach is settled: `_settled`, with their state in `_option`, `_counts`.
    """

    def __init__(self, problem: Staircases, wanted: float) -> None:
        self._whole = problem
        self._active = np.arange(problem.options.devices)
        self._problem = problem
        self._enough = enough(wanted)
        self._settled = 0.0
        none = np.zeros(problem.options.devices, dtype=np.int64)
        self._option, self._counts = none, none.copy()
        self._bracket(wanted)

    def _bracket(self, wanted: float) -> None:
        """Sets low and high: too little is finished at low, enough at high."""
        problem = self._problem
        self._low = problem.fractional_time(wanted) * (1 - 1e-9)
        self._before = problem.finished(self._low)
        self._worth_low = float(problem.reached(self._before).sum())
        if self._worth_low >= self._enough:  # rounding, or floors that suffice
            self._low = -1.0
            self._before = problem.finished(self._low)
            self._worth_low = float(problem.reached(self._before).sum())
        options = problem.options
        rate = float(np.sum(options.weights / options.seconds, where=options.caps > self._before))
        step = 2 * max(wanted - self._worth_low, 1.0) / rate if rate > 0 else 1.0
        base = max(self._low, 0.0)
        while True:
            self._high = base + step
            self._after = problem.finished(self._high)
            self._worth_high = float(problem.reached(self._after).sum())
            if self._worth_high >= self._enough:
                return
            step *= 2

    def narrow(self) -> None:
        """Moves low and high together until few completion times lie between."""
        if self._worth_low >= self._enough:
            return
        self._settle()
        stuck = False
        while (pool := self._pool()) > _SMALL_POOL:
            if stuck and pool <= 4 * len(self._problem.options.device):
                return
            middle = self._low + (0.5 if stuck else self._share()) * (self._high - self._low)
            if not self._low < middle < self._high:
                return
            counts = self._problem.finished(middle)
            worth = self._settled + float(self._problem.reached(counts).sum())
            if worth < self._enough:
                self._low, self._before, self._worth_low = middle, counts, worth
            else:
                self._high, self._after, self._worth_high = middle, counts, worth
            self._settle()
            stuck = self._pool() > 0.75 * pool

    def _share(self) -> float:
        """Where to look next, from 0 at low to 1 at high.

        Interpolated, and a little beyond the wanted worth as seen from the nearer end, so that the
        farther end comes close as well.
        """
        span = self._worth_high - self._worth_low
        missing, surplus = self._enough - self._worth_low, self._worth_high - self._enough
        beyond = 4 * min(missing, surplus) ** 0.5 + 1
        goal = missing + (beyond if missing < surplus else -beyond)
        return min(max(goal / span, 1e-6), 1 - 1e-6)

    def division(self) -> Division:
        """The division at the wanted time."""
        problem = self._problem
        if self._worth_low < self._enough:
            self._step_onto_the_time()
            before, after = problem.state(self._before), problem.state(self._after)
            gains = problem.reached(self._after) - problem.reached(self._before)
            missing = self._enough - self._settled - float(problem.reached(self._before).sum())
            rising = np.flatnonzero(gains > 0)
            gained = np.cumsum(gains[rising])
            last = min(int(np.searchsorted(gained, missing)), len(rising) - 1)
            taken = rising[: last + 1]
            option, counts = before.option.copy(), before.counts.copy()
            option[taken], counts[taken] = after.option[taken], after.counts[taken]
            self._give_back(rising[last], option, counts, float(gained[last]) - missing)
        else:
            state = problem.state(self._before)
            option, counts = state.option, state.counts
        self._keep(np.ones(problem.options.devices, dtype=np.bool_), Division(option, counts))
        return Division(self._option, self._counts)

    def _give_back(self, device: int, option: Counts, counts: Counts, surplus: float) -> None:
        """Takes back what the last device to rise has too many; more than 1 only at one time."""
        weight = self._problem.options.weights[option[device]]
        spare = int(surplus / weight)
        floor = 0 if self._problem.floors is None else int(self._problem.floors[device])
        counts[device] -= min(spare, int(counts[device]) - floor)

    def _step_onto_the_time(self) -> None:
        """Makes high the wanted time itself, and low the completion time before it."""
        options = self._problem.options
        more = self._after - self._before
        if self._pool() > max(_SMALL_POOL, 4 * len(more)):
            return  # low and high are neighbours among the floating-point numbers
        rows = np.repeat(np.arange(len(more)), more)
        rank = np.arange(len(rows)) - np.repeat(np.cumsum(more) - more, more)
        times = options.fixed[rows] + options.seconds[rows] * (self._before[rows] + rank + 1)
        # Many equal devices have one time in common, which needs no sorting.
        times = times[:1] if times.min() == times.max() else np.unique(times)
        first, last = 0, len(times) - 1  # enough is reached at times[last]
        while first < last:
            middle = (first + last) // 2
            counts = self._problem.finished(float(times[middle]))
            if self._settled + float(self._problem.reached(counts).sum()) >= self._enough:
                last = middle
            else:
                first = middle + 1
        self._after = self._problem.finished(float(times[last]))
        if last > 0:
            self._before = self._problem.finished(float(times[last - 1]))

    def _pool(self) -> int:
        return int((self._after - self._before).sum())

    def _settle(self) -> None:
        """Puts aside the devices that have the same counts at low and at high."""
        problem = self._problem
        moving = problem.changed(self._before, self._after)
        if 2 * int(moving.sum()) > len(moving):
            return
        settled = ~moving
        self._settled += float(problem.reached(self._before)[settled].sum())
        self._keep(settled, problem.state(self._before))
        rows = moving[problem.options.device]
        self._problem = problem.only(moving)
        self._active = self._active[moving]
        self._before, self._after = self._before[rows], self._after[rows]

    def _keep(self, devices: NDArray[np.bool_], state: Division) -> None:
        """Writes the state of some active devices into that of the whole fleet."""
        owners = self._active[devices]
        option = state.option[devices]
        whole, part = self._whole, self._problem
        if whole.starts is None or part.starts is None:
            self._option[owners] = owners
        else:
            self._option[owners] = whole.starts[owners] + option - part.starts[devices]
        self._counts[owners] = state.counts[devices]


def _earliest(options: Options, division: Division) -> Counts:
    """For each device the option that finishes its probes first, of those worth the same."""
    if len(options.device) == options.devices:
        return division.option
    counts = division.counts[options.device]
    same = options.weights >= options.weights[division.option][options.device]
    possible = same & (options.caps >= counts)
    times = np.where(possible, options.completion(np.maximum(counts, 1)), np.inf)
    starts = np.flatnonzero(np.diff(options.device, prepend=-1))
    best = np.minimum.reduceat(times, starts)
    found = np.flatnonzero(times == best[options.device])
    return found[np.diff(options.device[found], prepend=-1) > 0]
