"""From capability profiles to the allocation of a round."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np

from android_harness.job import Estimator
from device_bench.costs.setting import Layers
from device_bench.profiles.profile import Profile
from toolkit.allocation.absences import divide_surely, weighted
from toolkit.allocation.candidate import Candidate, Request, candidate
from toolkit.allocation.contract import Allocation, DeviceAllocation, LeftOut, Modelled
from toolkit.allocation.limits import Batches, Floor, Limits
from toolkit.allocation.makespan import fractional_lower_bound
from toolkit.allocation.offer import NoOfferError, Offer
from toolkit.allocation.options import Counts, Division, Options
from toolkit.allocation.uncertainty import late_probability, nobody_late
from toolkit.errors import AllocationError
from toolkit.protocol.wire import answer_bytes, request_bytes, update_bytes


def allocate(
    profiles: Sequence[Profile],
    *,
    probes: int,
    batch: int,
    tokens: int,
    now: datetime,
    estimator: Estimator = "central",
    directions_per_pass: Sequence[int] = (1,),
    batches: Batches | None = None,
    layers: Sequence[Layers] = (),
    limits: Limits | None = None,
    floor: Floor | None = None,
    availability: Mapping[str, float] | None = None,
    quantile: float = 0.5,
    fixed_s: float = 0.0,
) -> Allocation:
    """Divides `probes` over the devices so that the last one is done as early as possible.

    A device costs `fixed_s` plus its seconds per probe for each probe. The seconds per probe are
    those of full passes: where a share is not a multiple of `directions_per_pass`, the last pass
    is not full and its probes cost up to one whole pass together.

    Args:
        directions_per_pass: candidates; each device gets the setting that serves the round best.
        batches: other batches that a device may use, and what their probes are worth.
        layers: narrower ranges of layers for devices on which no setting with all adapted layers
            keeps the limits; the widest range that does is taken.
        limits: of memory, energy, time and probes; what a profile does not know is not checked,
            and a warning says so.
        floor: the fewest probes of each device.
        availability: the chance, from 0 to 1, that a device answers, by target; absent ones
            answer for sure, those with 0 are left out. More probes are handed out accordingly,
            so that those that come back are worth `probes` with the probability `quantile`.
        quantile: plan with the seconds that a device stays below with this probability, above 0
            and below 1; 0.5 is the prediction itself, and counts on average absences.
        fixed_s: seconds per round and device before its first probe (loading, the transport).

    Raises:
        AllocationError: nobody can take part, the limits leave room for too few probes, or an
            argument is out of range.
    """
    request = Request(
        probes=probes,
        batch=batch,
        tokens=tokens,
        estimator=estimator,
        directions=tuple(sorted(set(directions_per_pass))),
        batches=batches,
        layers=tuple(sorted(set(layers), key=lambda pair: (pair[0] - pair[1], pair))),
        limits=limits or Limits(),
        availability=dict(availability or {}),
        quantile=quantile,
        fixed_s=fixed_s,
    )
    targets = {profile.target for profile in profiles}
    request.check(targets, floor)
    candidates: dict[str, Candidate] = {}
    left_out: list[LeftOut] = []
    bundle = _bundle_of_most(profiles)
    for profile in sorted(profiles, key=lambda profile: profile.measured_at, reverse=True):
        try:
            _check(profile, bundle, now, seen=profile.target in candidates)
            candidates[profile.target] = candidate(profile, request)
        except NoOfferError as reason:
            left_out.append(LeftOut(target=profile.target, reason=str(reason)))
    if not candidates:
        reasons = "; ".join(f"{device.target}: {device.reason}" for device in left_out)
        raise AllocationError(
            f"no device can take part: {reasons or 'there are no profiles'}",
            remedy="measure the devices again (fwdllm bench, then fwdllm profile), or relax limits",
        )
    fleet = _Fleet([candidates[target] for target in sorted(candidates)], request)
    return fleet.allocation(floor, left_out, bundle, now)


class _Fleet:
    """The devices that can take part, as arrays."""

    def __init__(self, candidates: Sequence[Candidate], request: Request) -> None:
        self._candidates = candidates
        self._request = request
        self._flat = [option for candidate in candidates for option in candidate.options]
        sizes = [len(candidate.options) for candidate in candidates]
        self._availability = np.array([candidate.availability for candidate in candidates])
        device = np.repeat(np.arange(len(candidates)), sizes)
        self._options = Options(
            device=device,
            seconds=np.array([option.planned_s for option in self._flat]),
            fixed=np.array([option.fixed_s for option in self._flat]),
            caps=np.array([option.cap for option in self._flat], dtype=np.int64),
            weights=np.array([option.worth for option in self._flat]),
        )
        self._starts = np.flatnonzero(np.diff(device, prepend=-1))

    def allocation(
        self, floor: Floor | None, left_out: list[LeftOut], bundle: str, now: datetime
    ) -> Allocation:
        request, options = self._request, self._options
        self._check_room()
        floors, notes = self._floors(floor)
        made = divide_surely(options, request.probes, self._availability, request.quantile, floors)
        division = made.division
        if not made.sure:
            notes.append(
                f"the limits leave no room for enough spare probes: fewer than {request.probes} "
                f"may come back with a probability above {1 - request.quantile:.2g}"
            )
        reached = division.makespan(options)
        late = self._late(division, request.limits.deadline_s or reached)
        devices = tuple(
            self._share(position, int(division.option[position]), int(count), float(late[position]))
            for position, count in enumerate(division.counts)
        )
        working = [device for device in devices if device.probes]
        exact = request.quantile == 0.5 and all(
            device.seconds_per_probe.provenance == "measured" for device in working
        )
        worth = sum(device.probes * device.worth for device in working)
        return Allocation(
            bundle_sha256=bundle,
            probes=request.probes,
            planned_probes=sum(device.probes for device in working),
            over_provision=worth / request.probes,
            batch=request.batch,
            tokens=request.tokens,
            estimator=request.estimator,
            quantile=request.quantile,
            fixed_s=request.fixed_s,
            deadline_s=request.limits.deadline_s,
            devices=devices,
            left_out=tuple(left_out),
            makespan_s=reached,
            lower_bound_s=fractional_lower_bound(
                weighted(options, self._availability), made.expected, floors
            ),
            makespan_provenance="measured" if exact else "modelled",
            expected_late_share=float(np.mean([device.late_probability for device in working])),
            nobody_late_probability=nobody_late(device.late_probability for device in working),
            notes=(*notes, *self._notes(working)),
            made_at=now,
        )

    def _check_room(self) -> None:
        options, wanted = self._options, self._request.probes
        most = np.maximum.reduceat(options.weights * options.caps, self._starts)
        room = float(np.sum(most * self._availability))
        if room < wanted * (1 - 1e-12):
            bounds = ["caps"]
            if self._request.limits.deadline_s is not None:
                bounds.append("deadline")
            if self._request.limits.joules is not None:
                bounds.append("energy limit")
            raise AllocationError(
                f"the {' and '.join(bounds)} leave room for {math.floor(room + 1e-9)} of "
                f"{wanted} probes",
                remedy="relax them, add devices, or ask for fewer probes",
            )

    def _floors(self, floor: Floor | None) -> tuple[Counts | None, list[str]]:
        """The fewest probes of each device: what was asked for, as far as it is possible.

        Where all floors together are worth more than the round, they shrink to the largest
        common limit that is not.
        """
        if floor is None:
            return None, []
        request, targets = self._request, [c.profile.target for c in self._candidates]
        examples = np.array([floor.examples.get(target, 0) for target in targets], dtype=float)
        if not examples.any():
            examples = np.ones(len(targets))
        parts = request.probes * examples / examples.sum()
        asked = np.maximum(floor.probes, np.floor(floor.share * parts + 1e-9)).astype(np.int64)
        possible = np.minimum(asked, self._most_useful_caps())
        notes = []
        if fewer := int(np.sum(possible < asked)):
            notes.append(f"the limits of {fewer} devices allow fewer probes than the floor")
        # What a floor costs at most: the worth of the best option.
        weights = np.maximum.reduceat(self._options.weights, self._starts) * self._availability
        low, high = 0, int(possible.max())
        while low < high:
            middle = (low + high + 1) // 2
            if float(np.sum(weights * np.minimum(possible, middle))) <= request.probes:
                low = middle
            else:
                high = middle - 1
        if low < int(possible.max()):
            notes.append(
                f"{request.probes} probes do not suffice for the floor: it is {low} a device"
            )
        return np.minimum(possible, low), notes

    def _most_useful_caps(self) -> Counts:
        """The cap of each device's option that can be worth the most.

        A higher floor could rule that option out, and with it the room that the round needs.
        """
        options = self._options
        room = options.weights * options.caps
        best = np.maximum.reduceat(room, self._starts)
        capped = np.where(room == best[options.device], options.caps, 0)
        return np.maximum.reduceat(capped, self._starts)

    def _late(self, division: Division, deadline_s: float) -> np.ndarray:
        chosen = [self._flat[position] for position in division.option]
        # The base pass of the forward estimator is as uncertain as the probes.
        base = np.array([option.offer.base_pass_s for option in chosen])
        seconds = np.array([option.offer.seconds_per_probe.value for option in chosen])
        work = np.where(division.counts > 0, base + seconds * division.counts, 0.0)
        sigma = np.array([option.offer.sigma for option in chosen])
        return late_probability(np.full(len(work), self._request.fixed_s), work, sigma, deadline_s)

    def _share(self, position: int, row: int, count: int, late: float) -> DeviceAllocation:
        """A device's share; it hears of all probes of the round before, for its replica."""
        request, candidate, option = self._request, self._candidates[position], self._flat[row]
        offer = option.offer
        seconds, joules = offer.seconds_per_probe, offer.joules_per_probe
        fixed = request.fixed_s + offer.base_pass_s
        down = request_bytes(offer.setting.batch) + update_bytes(request.probes)
        return DeviceAllocation(
            target=candidate.profile.target,
            backend=offer.backend.backend,
            probes=count,
            batch=offer.setting.batch,
            directions_per_pass=offer.setting.directions_per_pass,
            layers=offer.setting.layers,
            worth=option.worth,
            availability=candidate.availability,
            fixed_s=fixed,
            seconds_per_probe=seconds,
            log_sigma=offer.sigma,
            expected_s=fixed + count * seconds.value if count else 0.0,
            planned_s=option.fixed_s + count * option.planned_s if count else 0.0,
            late_probability=late,
            joules=Modelled(value=joules.value * count, provenance=joules.provenance)
            if joules is not None
            else None,
            peak_memory_bytes=offer.peak_memory_bytes,
            memory_limit_bytes=candidate.memory_limit_bytes,
            bytes_down=down if count else 0,
            bytes_up=answer_bytes(count),
            warnings=_warnings(candidate, offer),
        )

    def _notes(self, working: Sequence[DeviceAllocation]) -> list[str]:
        notes = []
        narrow = [device for device in working if device.layers is not None]
        if narrow:
            wide = sum(device.probes for device in working if device.layers is None)
            lowest = min(device.layers[0] for device in narrow if device.layers is not None)
            notes.append(
                f"{len(narrow)} devices adapt only some layers; {wide} of "
                f"{sum(device.probes for device in working)} probes reach the layers below "
                f"{lowest}"
            )
        unknown = sum(
            option.offer.backend.sustained_factor is None
            for option in (candidate.options[0] for candidate in self._candidates)
        )
        if unknown:
            notes.append(
                f"how much {unknown} of {len(self._candidates)} devices slow down when hot was "
                "not measured; their speed in the sweep is used"
            )
        unchecked = sum(candidate.energy_unknown for candidate in self._candidates)
        if unchecked:
            notes.append(f"the energy limit was not checked on {unchecked} devices")
        return notes


def _warnings(candidate: Candidate, offer: Offer) -> tuple[str, ...]:
    suspect = offer.backend.reasons if offer.backend.verdict == "suspect" else ()
    energy = ("its energy per probe is not known, so its energy limit is not checked",)
    return (
        *(f"suspect profile: {reason}" for reason in suspect),
        *offer.warnings,
        *(energy if candidate.energy_unknown and offer.joules_per_probe is None else ()),
    )


def _check(profile: Profile, bundle: str, now: datetime, *, seen: bool) -> None:
    if seen:
        raise NoOfferError("superseded by a newer profile of the same target")
    if profile.expired(now):
        raise NoOfferError(f"its profile expired at {profile.expires_at:%Y-%m-%d %H:%M %Z}")
    if profile.bundle_sha256 != bundle:
        raise NoOfferError("its profile was measured with another bundle than most profiles")


def _bundle_of_most(profiles: Sequence[Profile]) -> str:
    """The bundle that most profiles were measured with; of equally many, the first in order."""
    counts = Counter(profile.bundle_sha256 for profile in profiles)
    return max(sorted(counts), key=lambda bundle: counts[bundle], default="")
