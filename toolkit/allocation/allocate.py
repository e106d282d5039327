"""From capability profiles to the allocation of a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np

from android_harness.job import Estimator
from device_bench.profile import Profile
from toolkit.allocation.contract import Allocation, DeviceAllocation, LeftOut
from toolkit.allocation.makespan import fractional_lower_bound, makespan, minimum_makespan
from toolkit.allocation.offer import NoOfferError, Offer, ProbeKind, best_offer
from toolkit.errors import AllocationError
from toolkit.wire import answer_bytes, request_bytes, update_bytes


def allocate(
    profiles: Sequence[Profile],
    *,
    probes: int,
    batch: int,
    tokens: int,
    now: datetime,
    estimator: Estimator = "central",
    directions_per_pass: Sequence[int] = (1,),
    caps: Mapping[str, int] | None = None,
    memory_limit_bytes: int | None = None,
    fixed_s: float = 0.0,
) -> Allocation:
    """Divides `probes` over the devices so that the last one is done as early as possible.

    A device costs `fixed_s` plus its seconds per probe for each probe. The seconds per probe are
    those of full passes: where a share is not a multiple of `directions_per_pass`, the last pass
    is not full and its probes cost up to one whole pass together.

    Args:
        directions_per_pass: candidates; each device gets the fastest that fits its memory.
        caps: the most probes of a device, by target; absent devices have no cap.
        memory_limit_bytes: for every device; None: half of each device's own memory.
        fixed_s: seconds per round and device before its first probe (loading, the transport).

    Raises:
        AllocationError: nobody can take part, or the caps leave room for too few probes.
    """
    if probes < 1 or batch < 1 or tokens < 1 or not directions_per_pass or fixed_s < 0:
        raise AllocationError("probes, batch, tokens and directions per pass are at least 1")
    if min(directions_per_pass) < 1:
        raise AllocationError("directions per pass are at least 1")
    unknown = sorted(set(caps or {}) - {profile.target for profile in profiles})
    if unknown:
        raise AllocationError(
            f"there is a cap for {', '.join(unknown)}, but no profile",
            remedy="cap targets that have a profile",
        )
    kind = ProbeKind(batch=batch, tokens=tokens, estimator=estimator)
    offers: dict[str, tuple[Profile, Offer]] = {}
    left_out: list[LeftOut] = []
    bundle = _bundle_of_most(profiles)
    for profile in sorted(profiles, key=lambda profile: profile.measured_at, reverse=True):
        try:
            _check(profile, bundle, now, seen=profile.target in offers)
            offer = best_offer(
                profile, kind, directions_per_pass, memory_limit_bytes=memory_limit_bytes
            )
        except NoOfferError as reason:
            left_out.append(LeftOut(target=profile.target, reason=str(reason)))
        else:
            offers[profile.target] = profile, offer
    if not offers:
        reasons = "; ".join(f"{device.target}: {device.reason}" for device in left_out)
        raise AllocationError(
            f"no device can take part: {reasons or 'there are no profiles'}",
            remedy="measure the devices again: fwdllm bench, then fwdllm profile",
        )
    return _divide(
        {target: offers[target] for target in sorted(offers)},
        kind,
        probes=probes,
        caps=caps or {},
        fixed_s=fixed_s,
        left_out=left_out,
        bundle=bundle,
        now=now,
    )


def _divide(
    offers: dict[str, tuple[Profile, Offer]],
    kind: ProbeKind,
    *,
    probes: int,
    caps: Mapping[str, int],
    fixed_s: float,
    left_out: list[LeftOut],
    bundle: str,
    now: datetime,
) -> Allocation:
    seconds = np.array([offer.seconds_per_probe.value for _, offer in offers.values()])
    fixed = np.full(len(offers), fixed_s)
    limits = np.array([caps.get(target, probes) for target in offers], dtype=np.int64)
    if np.any(limits < 0) or int(np.minimum(limits, probes).sum()) < probes:
        raise AllocationError(
            f"the caps leave room for {int(np.maximum(limits, 0).sum())} of {probes} probes",
            remedy="raise the caps, add devices, or ask for fewer probes",
        )
    counts = minimum_makespan(seconds, fixed, limits, probes)
    reached = makespan(seconds, fixed, counts)
    devices = tuple(
        _share(target, offer, int(count), kind, probes=probes, fixed_s=fixed_s)
        for (target, (_, offer)), count in zip(offers.items(), counts, strict=True)
    )
    measured = all(d.seconds_per_probe.provenance == "measured" for d in devices if d.probes)
    return Allocation(
        bundle_sha256=bundle,
        probes=probes,
        batch=kind.batch,
        tokens=kind.tokens,
        estimator=kind.estimator,
        fixed_s=fixed_s,
        devices=devices,
        left_out=tuple(left_out),
        makespan_s=reached,
        lower_bound_s=fractional_lower_bound(seconds, fixed, limits, probes, reached=reached),
        makespan_provenance="measured" if measured else "modelled",
        made_at=now,
    )


def _share(
    target: str, offer: Offer, count: int, kind: ProbeKind, *, probes: int, fixed_s: float
) -> DeviceAllocation:
    """A device's share; it hears of all probes of the round before, for its replica."""
    suspect = offer.backend.reasons if offer.backend.verdict == "suspect" else ()
    down = request_bytes(count, kind.batch) + update_bytes(probes)
    return DeviceAllocation(
        target=target,
        backend=offer.backend.backend,
        probes=count,
        directions_per_pass=offer.directions_per_pass,
        seconds_per_probe=offer.seconds_per_probe,
        expected_s=fixed_s + count * offer.seconds_per_probe.value if count else 0.0,
        peak_memory_bytes=offer.peak_memory_bytes,
        memory_limit_bytes=offer.memory_limit_bytes,
        bytes_down=down if count else 0,
        bytes_up=answer_bytes(count),
        warnings=tuple(f"suspect profile: {reason}" for reason in suspect),
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
    hashes = [profile.bundle_sha256 for profile in profiles]
    return max(sorted(set(hashes)), key=hashes.count, default="")
