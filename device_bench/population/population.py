"""Many devices, modelled from profiles of few that were measured.

A device of the population is of a kind: one that was measured, or a phone of which only facts are
known. Its seconds are the measured ones times factors (`RULE`), and its profile says which.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from device_bench.costs.cost_model import TERMS, CostModel
from device_bench.population.kinds import Kind, PopulationRule
from device_bench.profiles.profile import (
    ArmSummary,
    BackendProfile,
    Derivation,
    Interval,
    Parameter,
    Profile,
)

RULE = (
    "The cost model's term per weight byte is that of the measured device times memory_factor, "
    "its other terms are those times compute_factor; seconds of arms grow as the model's do. "
    "compute_factor: multiply-accumulates per second of the measured device's threads over those "
    "of this device's fastest cores, n of which do n times what the slowest of them does (clock "
    "times peak per cycle). memory_factor: peak bandwidth over peak bandwidth. All of it times "
    "device_factor, which differs between devices of a kind, log-normal with standard deviation "
    "spread. Peak memory and slope errors are those of the measured device."
)
REASON = "modelled-not-measured"


def population(
    kinds: Sequence[Kind], devices: int, rule: PopulationRule, seed: int
) -> Iterator[Profile]:
    """So many devices, the kinds in turn, so that each is as frequent; the same for a seed."""
    generator = np.random.default_rng(seed)
    factors = np.exp(rule.spread * generator.standard_normal(devices))
    sustained = generator.uniform(*rule.sustained, size=devices)
    digits = len(str(devices))
    for number in range(devices):
        kind = kinds[number % len(kinds)]
        target = f"{kind.name}-{number + 1:0{digits}d}"
        yield _device(kind, target, float(factors[number]), float(sustained[number]), rule)


def _device(
    kind: Kind, target: str, factor: float, sustained: float, rule: PopulationRule
) -> Profile:
    measured = kind.measured
    return measured.model_copy(
        update={
            "target": target,
            "device": kind.device,
            "backends": tuple(
                _backend(backend, kind, factor, sustained) for backend in kind.backends
            ),
            "beside": (),
            "derivation": Derivation(
                rule=RULE,
                measured_on=measured.target,
                parameters=tuple(_parameters(kind, factor, sustained, rule)),
            ),
        }
    )


def _backend(
    backend: BackendProfile, kind: Kind, factor: float, sustained: float
) -> BackendProfile:
    compute, memory = factor * kind.compute_factor, factor * kind.memory_factor
    changed: dict[str, object] = {
        "cost": _cost(backend.cost, compute, memory),
        "cost_provenance": "modelled",
        "arms": tuple(_arm(arm, backend, kind, factor) for arm in backend.arms),
        "verdict": "suspect",
        "reasons": (REASON, *backend.reasons),
        "tangent_cost": _cost(backend.tangent_cost, compute, memory),
        "sustained": None,
        "load_seconds": None,  # storage decides it, and no rule knows the storage
    }
    if kind.speed is not None:
        changed["energy"] = None  # of another device
    if kind.speed is not None and backend.sustained_factor is None:
        changed["sustained_factor"] = Interval(value=sustained, low=sustained, high=sustained)
    return backend.model_copy(update=changed)


def _cost(model: CostModel | None, compute: float, memory: float) -> CostModel | None:
    if model is None:
        return None
    factors = {term: memory if term == "s_per_weight_byte" else compute for term in TERMS}
    return model.model_copy(
        update={term: getattr(model, term) * factor for term, factor in factors.items()}
    )


def _arm(arm: ArmSummary, backend: BackendProfile, kind: Kind, factor: float) -> ArmSummary:
    """Its seconds grow as those of the model; where that does not know it, as computing."""
    growth = kind.compute_factor
    model = backend.cost_of(arm.estimator)
    work = backend.shape.work(arm.setting) if backend.shape is not None else None
    scaled = _cost(model, kind.compute_factor, kind.memory_factor)
    if model is not None and scaled is not None and work is not None:
        before = model.seconds(work)
        growth = scaled.seconds(work) / before if before > 0 else kind.compute_factor
    joules = arm.joules_per_probe if kind.speed is None else None
    return arm.model_copy(
        update={
            "threads": kind.threads or arm.threads,
            "seconds_per_probe": _times(arm.seconds_per_probe, factor * growth),
            "first_seconds": None,
            "joules_per_probe": None if joules is None else _times(joules, factor),
            "provenance": "modelled",
            "reasons": (),  # of jobs of another device, whose backend keeps them
            "findings": (),
        }
    )


def _times(interval: Interval, factor: float) -> Interval:
    return interval.model_copy(
        update={name: getattr(interval, name) * factor for name in ("value", "low", "high")}
    )


def _parameters(
    kind: Kind, factor: float, sustained: float, rule: PopulationRule
) -> Iterator[Parameter]:
    def parameter(name: str, value: float, source: str) -> Parameter:
        return Parameter(name=name, value=value, source=source)

    yield parameter("device_factor", factor, "drawn")
    yield parameter("spread", rule.spread, "assumed")
    speed, measured = kind.speed, kind.measured_speed
    if speed is None or measured is None:
        return
    bits = {"int8": 8, "float32": 32}[rule.arithmetic]
    yield parameter("arithmetic_bits", bits, "given")
    yield parameter("measured_threads", measured.threads, "measured")
    yield parameter("measured_clock_khz", measured.clock_khz, measured.clock_source)
    yield parameter("compute_factor", kind.compute_factor, "peaks of core designs, assumed")
    yield parameter("memory_factor", kind.memory_factor, "peaks of memories, assumed")
    yield parameter("threads", speed.threads, "facts")
    yield parameter("clock_khz", speed.clock_khz, speed.clock_source)
    yield parameter("per_second", speed.per_second, speed.design_source)
    if any(backend.sustained_factor is None for backend in kind.backends):
        yield parameter("sustained_factor", sustained, "drawn from a range that is assumed")
