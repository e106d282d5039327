"""How much devices have done by a time: staircases that only rise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.allocation.options import Counts, Division, Options, Seconds, Weights, check

_STEPS = 200
_PRECISION = 1e-12
# Sums of weights differ by rounding with the order of summation; whole weights have no error.
_RELATIVE_ROUNDING = 1e-12


def enough(wanted: float) -> float:
    """What counts as `wanted` in a sum of floating-point numbers."""
    whole = float(wanted).is_integer()
    return wanted * (1 - _RELATIVE_ROUNDING) if not whole else wanted - min(0.5, wanted * 1e-12)


@dataclass(frozen=True)
class Staircases:
    """Checked options with floors, and what each device has reached at a time.

    The worth that a device has reached at T is g(T) = max over its options of weight · (probes
    finished by T), of those options that have finished its floor by then. Before any has, it counts
    as its floor on the option that gets there first: the floor has to be run anyhow.
    """

    options: Options
    floors: Counts | None  # [devices]
    floor_option: Counts | None  # [devices], the option that reaches the floor first
    starts: Counts | None  # [devices], the first option of each; None: one option each

    @classmethod
    def of(cls, options: Options, wanted: float, floors: Counts | None) -> Staircases:
        check(options, wanted)
        if len(options.device) == options.devices:
            starts = None
        else:
            starts = np.flatnonzero(np.diff(options.device, prepend=-1))
        if floors is None or not np.any(floors > 0):
            problem = cls(options, None, None, starts)
        else:
            problem = cls._with_floors(options, floors, starts)
        room = problem.worth(np.inf)
        if room < enough(wanted):
            raise ValueError(f"the caps leave room for {room:g} of {wanted:g} probes")
        return problem

    @classmethod
    def _with_floors(cls, options: Options, floors: Counts, starts: Counts | None) -> Staircases:
        least = floors[options.device]
        problem = cls(options, floors, None, starts)
        possible = options.caps >= least
        time = np.where(possible, options.completion(least), np.inf)
        if np.any(problem._most(possible.astype(np.float64)) < 1):
            raise ValueError("a floor is above the caps of its device")
        return cls(options, floors, problem._first_of_each(time == problem._least(time)), starts)

    @property
    def time_of_floors(self) -> float:
        """When the last device has reached its floor."""
        if self.floors is None or self.floor_option is None:
            return 0.0
        return Division(self.floor_option, self.floors).makespan(self.options)

    def finished(self, time: float) -> Counts:
        """Probes of each option by `time`, int64 [options]; exact, whatever division rounds."""
        options = self.options
        if time == np.inf:
            return options.caps
        counts = np.floor((time - options.fixed) / options.seconds)
        np.clip(counts, 0, options.caps, out=counts)
        late = options.fixed + options.seconds * counts > time
        counts -= late & (counts > 0)
        early = options.fixed + options.seconds * (counts + 1) <= time
        counts += early & (counts < options.caps)
        return counts.astype(np.int64)

    def reached(self, counts: Counts | Seconds) -> Weights:
        """The worth that each device has reached, float64 [devices], given its options' counts."""
        if self.floors is None or self.floor_option is None:
            return self._most(self.options.weights * counts)
        eligible = counts >= self.floors[self.options.device]
        best = self._most(np.where(eligible, self.options.weights * counts, -1.0))
        return np.where(best < 0, self.options.weights[self.floor_option] * self.floors, best)

    def worth(self, time: float) -> float:
        return float(self.reached(self.finished(time)).sum())

    def state(self, counts: Counts) -> Division:
        """The option and count with which each device reaches its worth."""
        if self.starts is None:
            option = np.arange(len(counts))
            chosen = counts
        else:
            worth = self.options.weights * counts
            if self.floors is not None:
                worth = np.where(counts >= self.floors[self.options.device], worth, -1.0)
            option = self._first_of_each(worth == self._most(worth)[self.options.device])
            chosen = counts[option]
        if self.floors is not None and self.floor_option is not None:
            short = chosen < self.floors
            option = np.where(short, self.floor_option, option)
            chosen = np.where(short, self.floors, chosen)
        return Division(option, chosen)

    def only(self, devices: NDArray[np.bool_]) -> Staircases:
        """The same of some devices alone."""
        o = self.options
        keep = devices[o.device]
        numbers = np.cumsum(devices) - 1
        options = Options(
            numbers[o.device[keep]], o.seconds[keep], o.fixed[keep], o.caps[keep], o.weights[keep]
        )
        starts = (
            None if self.starts is None else np.flatnonzero(np.diff(options.device, prepend=-1))
        )
        if self.floors is None or self.floor_option is None:
            return Staircases(options, None, None, starts)
        positions = np.cumsum(keep) - 1
        return Staircases(
            options, self.floors[devices], positions[self.floor_option[devices]], starts
        )

    def changed(self, before: Counts, after: Counts) -> NDArray[np.bool_]:
        """Which devices have an option with other counts, bool [devices]."""
        different = before != after
        return different if self.starts is None else np.logical_or.reduceat(different, self.starts)

    def fractional_time(self, wanted: float) -> float:
        """The largest T, to 1e-12, at which split probes do not reach `wanted`.

        Σ g is piecewise linear in T, so Newton's method ends at the answer; where it is flat or
        starts to rise faster, halving of the bracket takes over.
        """
        if self.floors is not None and self.worth(0.0) >= wanted:
            return 0.0  # the floors suffice
        options = self.options
        rate = float(np.sum(self._most(options.weights / options.seconds)))
        low = 0.0
        high = float(np.max(options.completion(options.caps), where=options.caps > 0, initial=0.0))
        time = min(wanted / rate, high)
        nudged = False
        for _ in range(_STEPS):
            counts = np.clip((time - options.fixed) / options.seconds, 0.0, options.caps)
            worth = self.reached(counts)
            missing = wanted - float(worth.sum())
            if missing > 0:
                low = max(low, time)
            else:
                high = min(high, time)
            if high - low <= _PRECISION * high:
                break
            slope = self._slope(counts, worth)
            newton = time + missing / slope if slope > 0 else low
            if abs(newton - time) <= _PRECISION * time / 2 and not nudged:
                # At the answer but for rounding: a look at its other side closes the bracket.
                newton = time + (0.5 if missing > 0 else -0.5) * _PRECISION * time
                nudged = True
            else:
                nudged = False
            time = newton if low < newton < high else (low + high) / 2
        return low

    def _slope(self, counts: Seconds, worth: Weights) -> float:
        """Σ of weight / seconds of the options that are on the staircases and still moving."""
        options = self.options
        moving = (counts > 0) & (counts < options.caps)
        rates = np.where(moving, options.weights / options.seconds, 0.0)
        if self.starts is not None or self.floors is not None:
            on_top = options.weights * counts >= worth[options.device]
            rates = np.where(on_top, rates, 0.0)
        return float(np.sum(self._most(rates)))

    def _most(self, values: Weights) -> Weights:
        return values if self.starts is None else np.maximum.reduceat(values, self.starts)

    def _least(self, values: Seconds) -> Seconds:
        """The smallest of its device, for each option."""
        if self.starts is None:
            return values
        return np.minimum.reduceat(values, self.starts)[self.options.device]

    def _first_of_each(self, chosen: NDArray[np.bool_]) -> Counts:
        """The first chosen option of each device, int64 [devices]; each has one."""
        found = np.flatnonzero(chosen)
        return found[np.diff(self.options.device[found], prepend=-1) > 0]
