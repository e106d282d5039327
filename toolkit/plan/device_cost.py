"""What a method's work costs one device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from device_bench.costs.setting import Setting
from device_bench.profiles.profile import BackendProfile, Profile
from exporters.manifest import Manifest
from toolkit.allocation.contract import LeftOut, Modelled
from toolkit.allocation.offer import memory_limit, peak_memory, probe_seconds
from toolkit.plan.backprop import BackpropRule, backprop_extra_bytes
from toolkit.plan.convergence import ConvergenceRow


@dataclass(frozen=True)
class DeviceCost:
    """Of one device: seconds per probe and per plain forward pass, power, and peak memory.

    `probe_s` None: the method has no probes; `watts` None and `memory` None: not known.
    """

    target: str
    probe_s: Modelled | None
    pass_s: float
    watts: float | None
    memory: Modelled | None


@dataclass(frozen=True)
class FleetCost:
    """The devices that can run a method, and the others with the reason."""

    devices: tuple[DeviceCost, ...]
    left_out: tuple[LeftOut, ...]
    memory_needed: Modelled | None  # the largest, whether or not it fits


def fleet_cost(
    profiles: Sequence[Profile],
    row: ConvergenceRow,
    rule: BackpropRule,
    *,
    manifest: Manifest | None,
    memory_limit_bytes: int | None,
) -> FleetCost:
    """Each device on the backend that is fastest for the method among those that fit."""
    devices, left_out, needed = [], [], []
    for profile in profiles:
        limit = memory_limit(profile, memory_limit_bytes)
        costs = [
            cost
            for backend in profile.backends
            if backend.verdict != "invalid"
            and (cost := _cost(profile, backend, row, rule, manifest)) is not None
        ]
        if not costs:
            left_out.append(LeftOut(target=profile.target, reason="its profile does not tell"))
            continue
        fitting = [
            cost
            for cost in costs
            if limit is None or cost.memory is None or cost.memory.value <= limit
        ]
        chosen = min(fitting or costs, key=lambda cost: _seconds(cost, row, rule))
        if chosen.memory is not None:
            needed.append(chosen.memory)
        if fitting:
            devices.append(chosen)
        else:
            least = min(cost.memory.value for cost in costs if cost.memory is not None)
            left_out.append(
                LeftOut(
                    target=profile.target,
                    reason=f"needs {least / 1e6:.3g} MB of memory, "
                    f"may use {(limit or 0) / 1e6:.3g}",
                )
            )
    largest = max(needed, key=lambda memory: memory.value, default=None)
    return FleetCost(tuple(devices), tuple(left_out), largest)


def _cost(
    profile: Profile,
    backend: BackendProfile,
    row: ConvergenceRow,
    rule: BackpropRule,
    manifest: Manifest | None,
) -> DeviceCost | None:
    tokens = round(row.tokens)
    setting = Setting(row.batch, tokens, row.estimator, row.directions_per_pass)
    hot = 1.0 if backend.sustained_factor is None else backend.sustained_factor.value
    cool_pass_s = backend.pass_seconds(batch=row.batch, tokens=tokens)
    if cool_pass_s is None:
        return None  # nothing says what a plain forward pass takes
    pass_s = cool_pass_s * hot
    probe_s = probe_seconds(backend, setting) if row.probes else None
    if (row.probes and probe_s is None) or pass_s <= 0:
        return None
    if not row.backpropagates:
        # A plain pass holds no more than a probe of one direction, which arms have measured.
        one = setting if row.probes else Setting(row.batch, tokens, "central", 1)
        memory: Modelled | None = peak_memory(backend, one)
    elif row.client_peak_bytes is not None:
        memory = Modelled(value=row.client_peak_bytes, provenance=row.provenance)
    elif manifest is not None:
        forward = peak_memory(backend, Setting(row.batch, tokens, "central", 1))
        extra = backprop_extra_bytes(manifest, rule, batch=row.batch, tokens=row.tokens)
        memory = Modelled(value=forward.value + extra, provenance="modelled")
    else:
        memory = None
    watts = backend.energy.watts.value if backend.energy is not None else None
    return DeviceCost(profile.target, probe_s, pass_s, watts, memory)


def _seconds(cost: DeviceCost, row: ConvergenceRow, rule: BackpropRule) -> float:
    """What decides between backends: the seconds of the method's whole work on this device."""
    probe_s = cost.probe_s.value if cost.probe_s is not None else 0.0
    plain = row.forward_passes + rule.forward_passes * row.bp_steps
    return row.probes * probe_s + plain * cost.pass_s
