"""What one device could run in a round, within all limits."""

from __future__ import annotations

import math
from dataclasses import dataclass

from android_harness.job import Estimator
from device_bench.costs.setting import Layers, Setting
from device_bench.profiles.profile import Profile
from toolkit.allocation.limits import Batches, Floor, Limits
from toolkit.allocation.offer import NoOfferError, Offer, memory_limit, offers
from toolkit.allocation.uncertainty import at_quantile
from toolkit.errors import AllocationError


@dataclass(frozen=True)
class Request:
    """The arguments of an allocation."""

    probes: int
    batch: int
    tokens: int
    estimator: Estimator
    directions: tuple[int, ...]
    batches: Batches | None
    layers: tuple[Layers, ...]  # the widest first
    limits: Limits
    availability: dict[str, float]
    quantile: float
    fixed_s: float

    def check(self, targets: set[str], floor: Floor | None) -> None:
        """Refuses what makes no sense.

        Raises:
            AllocationError: a value is out of range, or names a target without a profile.
        """
        if self.probes < 1 or self.batch < 1 or self.tokens < 1 or not self.directions:
            raise AllocationError("probes, batch, tokens and directions per pass are at least 1")
        if self.directions[0] < 1:
            raise AllocationError("directions per pass are at least 1")
        if not (self.fixed_s >= 0 and math.isfinite(self.fixed_s)):
            raise AllocationError("the fixed seconds are finite and not negative")
        if not 0 < self.quantile < 1:
            raise AllocationError(f"the quantile is above 0 and below 1, not {self.quantile}")
        if any(not 0 <= first <= last for first, last in self.layers):
            raise AllocationError("a range of layers is FIRST,LAST with 0 <= FIRST <= LAST")
        if any(not 0 <= chance <= 1 for chance in self.availability.values()):
            raise AllocationError("an availability is a chance from 0 to 1")
        for word, named in (
            ("a cap", self.limits.probes),
            ("an availability", self.availability),
            ("a number of examples", floor.examples if floor else {}),
        ):
            if unknown := sorted(set(named) - targets):
                raise AllocationError(
                    f"there is {word} for {', '.join(unknown)}, but no profile",
                    remedy="name targets that have a profile",
                )

    def settings(self) -> list[Setting]:
        """All settings to consider; of equally good ones an earlier one is preferred."""
        others = self.batches.candidates if self.batches else ()
        return [
            Setting(batch, self.tokens, self.estimator, directions, layers)
            for layers in (None, *self.layers)
            for batch in (self.batch, *sorted(set(others) - {self.batch}))
            for directions in self.directions
        ]

    def worth(self, setting: Setting) -> float:
        if self.batches is None or setting.batch == self.batch:
            return 1.0
        return self.batches.worth(setting.batch, self.batch)


@dataclass(frozen=True)
class Option:
    """An offer within its limits: planned seconds, and the most probes that they allow."""

    offer: Offer
    fixed_s: float
    planned_s: float  # per probe, at the quantile
    cap: int
    worth: float


@dataclass(frozen=True)
class Candidate:
    """A device that can take part, with what it could run."""

    profile: Profile
    availability: float
    options: list[Option]
    memory_limit_bytes: int | None
    energy_unknown: bool


def candidate(profile: Profile, request: Request) -> Candidate:
    """The device's options with the widest range of layers that keeps the limits.

    Raises:
        NoOfferError: it is away, or no setting keeps the limits.
    """
    target, limits = profile.target, request.limits
    availability = request.availability.get(target, 1.0)
    if availability == 0:
        raise NoOfferError("it is not available")
    asked = limits.probes.get(target)
    if asked == 0:
        raise NoOfferError("its cap is 0 probes")
    found = offers(profile, request.settings(), memory_limit_bytes=limits.memory_bytes)
    reasons: dict[str, None] = {}  # in order, each once
    for layers in (None, *request.layers):
        options = []
        for offer in (offer for offer in found if offer.setting.layers == layers):
            option, reason = _limited(offer, request, availability, asked)
            if option is not None:
                options.append(option)
            else:
                reasons[reason] = None
        if options:
            return Candidate(
                profile,
                availability,
                options,
                memory_limit(profile, limits.memory_bytes),
                limits.joules is not None
                and any(option.offer.joules_per_probe is None for option in options),
            )
    raise NoOfferError(
        "; ".join(reasons) or "its profile knows no range of layers that was asked for"
    )


def _limited(
    offer: Offer, request: Request, availability: float, asked: int | None
) -> tuple[Option | None, str]:
    """The offer with the most probes that its limits allow, or None and the limit it breaks."""
    limits = request.limits
    planned = at_quantile(offer.seconds_per_probe.value, offer.sigma, request.quantile)
    fixed = request.fixed_s + at_quantile(offer.base_pass_s, offer.sigma, request.quantile)
    worth = request.worth(offer.setting)
    # More than it can ever be given; where devices may be away, with spare probes.
    cap = math.ceil(request.probes / (worth * availability))
    cap = 4 * cap if request.availability else cap
    if asked is not None:
        cap = min(cap, asked)
    if limits.deadline_s is not None:
        cap = min(cap, int((limits.deadline_s - fixed) / planned * (1 + 1e-12)))
        if cap < 1:
            return None, (
                f"its first probe takes until {fixed + planned:.3g} s, "
                f"after the deadline of {limits.deadline_s:g} s"
            )
    if limits.joules is not None and offer.joules_per_probe is not None:
        joules = offer.joules_per_probe.value
        if joules > 0:
            cap = min(cap, int(limits.joules / joules * (1 + 1e-12)))
        if cap < 1:
            return None, f"one probe takes {joules:.3g} J, it may use {limits.joules:g} J"
    return Option(offer, fixed, planned, cap, worth), ""
