"""Profiles as Flower's `ConfigRecord`s: flat scalars, for a server app that chooses its clients."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from flwr.app import ConfigRecord

from android_harness.job import Estimator
from device_bench.costs.cost_model import CostModel
from device_bench.costs.work import ModelShape
from device_bench.profiles.profile import Profile
from exporters.durable_files import write_atomically
from toolkit.exchange.errors import ExchangeError

Value = str | int | float | list[str]


def config_record(profile: Profile) -> ConfigRecord:
    """One device. What is not known has no key; a key of a backend begins with its name."""
    return ConfigRecord(dict(_values(profile)))


def cost_model(record: ConfigRecord, backend: str, estimator: Estimator) -> CostModel | None:
    """The model of the estimator's seconds that a record holds; None: it has none."""
    field = "tangent_cost" if estimator == "tangent" else "cost"
    prefix = f"{backend}.{field}."
    found = {key.removeprefix(prefix): record[key] for key in record if key.startswith(prefix)}
    if not found:
        return None
    return CostModel.model_validate({"median_relative_error": None, **found})


def model_shape(record: ConfigRecord, backend: str) -> ModelShape | None:
    """What counts the work that a cost model of the record prices; None: it has none."""
    text = record.get(f"{backend}.shape")
    return ModelShape.model_validate_json(text) if isinstance(text, str) else None


def write_config_records(path: Path, profiles: Sequence[Profile]) -> None:
    """A JSON object with the values of each record by the device's target."""
    values = {profile.target: dict(_values(profile)) for profile in profiles}
    write_atomically(path, json.dumps(values, indent=2) + "\n")


def read_config_records(path: Path) -> dict[str, ConfigRecord]:
    """What `write_config_records` wrote, the same records.

    Raises:
        ExchangeError: it is not such a file.
    """
    try:
        document: Mapping[str, Mapping[str, Value]] = json.loads(path.read_text(encoding="utf-8"))
        return {target: ConfigRecord(dict(values)) for target, values in document.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise ExchangeError("this is not a file of config records", file=path) from error


def _values(profile: Profile) -> Iterator[tuple[str, Value]]:
    yield "target", profile.target
    yield "bundle_sha256", profile.bundle_sha256
    yield "measured_at", profile.measured_at.isoformat()
    yield "expires_at", profile.expires_at.isoformat()
    if profile.device.memory_total_bytes is not None:
        yield "memory_total_bytes", profile.device.memory_total_bytes
    if profile.derivation is not None:
        yield "modelled_from", profile.derivation.measured_on
    yield "backends", [backend.backend for backend in profile.backends]
    for backend in profile.backends:
        name = backend.backend
        yield f"{name}.verdict", backend.verdict
        yield f"{name}.reasons", list(backend.reasons)
        yield f"{name}.peak_memory_bytes", backend.peak_memory_bytes
        if backend.sustained_factor is not None:
            yield f"{name}.sustained_factor", backend.sustained_factor.value
        if backend.energy is not None:
            yield f"{name}.watts", backend.energy.watts.value
        if backend.shape is not None:
            yield f"{name}.shape", backend.shape.model_dump_json()
        for field, model in (
            ("cost", backend.cost),
            ("tangent_cost", backend.tangent_cost),
            ("memory", backend.memory),
            ("tangent_memory", backend.tangent_memory),
        ):
            if model is not None:
                for term, value in model.model_dump(mode="json", exclude_none=True).items():
                    yield f"{name}.{field}.{term}", value
