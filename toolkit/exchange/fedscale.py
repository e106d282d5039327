"""FedScale's table of client capacities (its `--device_conf_file`).

FedScale unpickles {client id: {"computation": milliseconds, "communication": kbit/s}}. The first
is the latency of inference on one sample, of which it takes three for a step of training; the
second divides the kilobits of the model. It looks clients up by their number modulo the length of
the table, so ids count from 0 (fedscale/cloud/internal/client_metadata.py and
fedscale/cloud/aggregation/aggregator.py).
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

from device_bench.profiles.profile import BackendProfile, Profile
from exporters.contract import Part
from exporters.durable_files import write_atomically
from toolkit.exchange.errors import ExchangeError

PICKLE_PROTOCOL = 4  # Python 3.4 and later


class ClientCapacity(Part):
    """One client: `computation` in milliseconds a sample, `communication` in kbit/s."""

    target: str
    backend: str
    computation: float
    communication: float


def client_capacities(
    profiles: Sequence[Profile],
    *,
    batch: int,
    tokens: int,
    kbit_per_s: float,
    kbit_per_s_of: Mapping[str, float] | None = None,
) -> list[ClientCapacity]:
    """Modelled seconds of one forward pass over a batch, hot where that is known, per example.

    Of the backend that is fastest. Profiles know nothing of networks, so their speed is an
    argument: for all targets, or for some by name.

    Raises:
        ExchangeError: a profile has no usable cost model, or a named target has no profile.
    """
    of = dict(kbit_per_s_of or {})
    if unknown := sorted(of.keys() - {profile.target for profile in profiles}):
        raise ExchangeError(f"there is a network speed for {unknown[0]}, but no profile")
    return [
        _capacity(profile, batch, tokens, of.get(profile.target, kbit_per_s))
        for profile in profiles
    ]


def write_client_capacities(path: Path, capacities: Sequence[ClientCapacity]) -> Path:
    """Writes the pickle that FedScale loads, and beside it the same as JSON with the targets.

    Returns:
        The JSON's path.
    """
    table = {
        number: each.model_dump(include={"computation", "communication"})
        for number, each in enumerate(capacities)
    }
    write_atomically(path, pickle.dumps(table, protocol=PICKLE_PROTOCOL))
    readable = path.with_name(path.name + ".json")
    clients = {str(number): each.model_dump() for number, each in enumerate(capacities)}
    write_atomically(readable, json.dumps(clients, indent=2) + "\n")
    return readable


def _capacity(profile: Profile, batch: int, tokens: int, kbit_per_s: float) -> ClientCapacity:
    seconds = {
        backend.backend: seconds
        for backend in profile.backends
        if backend.verdict != "invalid"
        and (seconds := _pass_seconds(backend, batch, tokens)) is not None
    }
    if not seconds:
        raise ExchangeError(
            f"the profile of {profile.target} does not tell what a forward pass costs",
            remedy="bench it by the estimators central or forward too",
        )
    fastest = min(seconds, key=lambda name: seconds[name])
    return ClientCapacity(
        target=profile.target,
        backend=fastest,
        computation=1e3 * seconds[fastest] / batch,
        communication=kbit_per_s,
    )


def _pass_seconds(backend: BackendProfile, batch: int, tokens: int) -> float | None:
    cool = backend.pass_seconds(batch=batch, tokens=tokens)
    hot = 1.0 if backend.sustained_factor is None else backend.sustained_factor.value
    return None if cool is None else hot * cool
