"""Modelled seconds of simulated clients, each as fast as a device that was measured."""

from __future__ import annotations

from collections.abc import Sequence

from device_bench.costs.setting import Setting
from device_bench.profiles.profile import Profile
from toolkit.allocation.offer import NoOfferError, offers
from toolkit.protocol.order import Order
from toolkit.simulation.client import SecondsModel
from toolkit.simulation.errors import SimulationError


def profile_seconds(
    profiles: Sequence[Profile], clients: Sequence[str], *, tokens: int
) -> SecondsModel:
    """Seconds from an order to its answer: its probes, at the pace of the client's profile.

    Clients take the profiles in turn. The slope along an update costs as much as a probe; what is
    paid once per order (starting, the transport) is not in a profile, so it is not counted.

    Args:
        tokens: of the longest example; every batch is taken to be padded to it.

    Raises:
        SimulationError: there are no profiles.
    """
    if not profiles:
        raise SimulationError("modelled seconds need profiles of devices")
    owner = {client: profiles[number % len(profiles)] for number, client in enumerate(clients)}
    known: dict[tuple[str, Setting], float] = {}

    def seconds(client: str, order: Order) -> float:
        directions = () if order.probes is None else order.probes.directions
        setting = Setting(
            batch=len(order.batch),
            tokens=tokens,
            estimator=order.estimator,
            directions_per_pass=1 if order.probes is None else order.probes.directions_per_pass,
        )
        profile = owner[client]
        key = profile.target, setting
        if key not in known:
            known[key] = _seconds_per_probe(profile, setting)
        return known[key] * (len(directions) + (order.along is not None))

    return seconds


def _seconds_per_probe(profile: Profile, setting: Setting) -> float:
    try:
        possible = offers(profile, [setting], memory_limit_bytes=None)
    except NoOfferError as reason:
        raise SimulationError(f"the profile of {profile.target} is of no use: {reason}") from reason
    return min(offer.seconds_per_probe.value for offer in possible)
