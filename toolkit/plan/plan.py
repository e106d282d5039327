"""Methods compared for a fleet: time, energy, memory and bytes to a target accuracy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from statistics import median

from device_bench.profiles.profile import Profile, Provenance
from exporters.manifest import Manifest
from toolkit.allocation.contract import LeftOut
from toolkit.plan.backprop import BackpropRule
from toolkit.plan.contract import Figure, MethodPlan, Plan
from toolkit.plan.convergence import ConvergenceRow, ConvergenceTable
from toolkit.plan.device_cost import FleetCost, fleet_cost
from toolkit.plan.errors import PlanError
from toolkit.plan.round_time import RunCost, run_cost
from toolkit.plan.verdict import verdicts


def plan(
    profiles: Sequence[Profile],
    table: ConvergenceTable,
    *,
    now: datetime,
    target_accuracy: float | None = None,
    manifest: Manifest | None = None,
    manifest_sha256: str | None = None,
    rule: BackpropRule | None = None,
    memory_limit_bytes: int | None = None,
    link_bits_per_s: float | None = None,
    fixed_s: float = 0.0,
) -> Plan:
    """What each method of the table would cost the profiled devices up to the target.

    Counts (rounds, probes, steps, bytes) are those of the table's runs; seconds, joules and memory
    come from the profiles. A product of both is modelled: nobody has trained on these devices.

    Args:
        target_accuracy: one of the table's; None: the highest that every method has a row for,
            else the highest of all.
        manifest: of the bundle that the profiles measured, for the memory of backpropagation;
            None: known only where the table has it measured.
        manifest_sha256: the bundle's identity, to be compared with that of the profiles.
        memory_limit_bytes: for every device; None: half of each device's own memory.
        link_bits_per_s: of every device, both ways; None: times are without the network's.
        fixed_s: seconds per round and device before its work.

    Raises:
        PlanError: no device can be used, the table has no row for the target, or an argument is
            out of range.
    """
    if link_bits_per_s is not None and not link_bits_per_s > 0:
        raise PlanError("a link carries more than 0 bits per second")
    if fixed_s < 0 or (memory_limit_bytes is not None and memory_limit_bytes < 1):
        raise PlanError("fixed seconds are not negative, and a memory limit is above 0")
    rule = rule or BackpropRule()
    kept, left_out = _usable(profiles, now)
    if manifest_sha256 is not None and any(p.bundle_sha256 != manifest_sha256 for p in kept):
        raise PlanError(
            "the bundle is not the one that the profiles measured",
            remedy="give the bundle that was benched",
        )
    target = _target(table, target_accuracy)
    rows = [row for row in table.rows if row.target_accuracy == target]
    methods = tuple(
        _method(
            [row for row in rows if row.method == method],
            kept,
            rule,
            manifest=manifest,
            memory_limit_bytes=memory_limit_bytes,
            link_bits_per_s=link_bits_per_s,
            fixed_s=fixed_s,
        )
        for method in dict.fromkeys(row.method for row in rows)
    )
    return Plan(
        task=table.task,
        model=table.model,
        target_accuracy=target,
        devices=len(kept),
        left_out=tuple(left_out),
        link_bits_per_s=link_bits_per_s,
        methods=methods,
        verdicts=tuple(verdicts(methods, target, len(kept))),
    )


def _usable(profiles: Sequence[Profile], now: datetime) -> tuple[list[Profile], list[LeftOut]]:
    """The newest usable profile of each target, in order of targets."""
    kept: dict[str, Profile] = {}
    left_out = []
    for profile in sorted(profiles, key=lambda each: each.measured_at, reverse=True):
        if profile.target in kept:
            reason = "superseded by a newer profile of the same target"
        elif profile.expired(now):
            reason = f"its profile expired at {profile.expires_at:%Y-%m-%d %H:%M %Z}"
        elif all(backend.verdict == "invalid" for backend in profile.backends):
            reason = "invalid profile"
        else:
            kept[profile.target] = profile
            continue
        left_out.append(LeftOut(target=profile.target, reason=reason))
    if not kept:
        reasons = "; ".join(f"{each.target}: {each.reason}" for each in left_out)
        raise PlanError(
            f"no device can be planned for: {reasons or 'there are no profiles'}",
            remedy="measure the devices again: fwdllm bench, then fwdllm profile",
        )
    bundles = Counter(profile.bundle_sha256 for profile in kept.values())
    if len(bundles) > 1:
        raise PlanError(
            "the profiles were measured with different bundles",
            remedy="give profiles of one bundle",
        )
    return [kept[target] for target in sorted(kept)], left_out


def _target(table: ConvergenceTable, asked: float | None) -> float:
    targets = sorted({row.target_accuracy for row in table.rows}, reverse=True)
    if asked is not None:
        if asked not in targets:
            raise PlanError(
                f"the convergence table has no row for a target accuracy of {asked:g}",
                remedy=f"choose one of {', '.join(f'{target:g}' for target in targets)}",
            )
        return asked
    every = {row.method for row in table.rows}
    complete = [
        target
        for target in targets
        if {row.method for row in table.rows if row.target_accuracy == target} == every
    ]
    return (complete or targets)[0]


def _method(
    rows: Sequence[ConvergenceRow],
    profiles: Sequence[Profile],
    rule: BackpropRule,
    *,
    manifest: Manifest | None,
    memory_limit_bytes: int | None,
    link_bits_per_s: float | None,
    fixed_s: float,
) -> MethodPlan:
    reached = [row for row in rows if row.reached]
    fleets = [
        fleet_cost(profiles, row, rule, manifest=manifest, memory_limit_bytes=memory_limit_bytes)
        for row in reached or rows
    ]
    # Repetitions differ in rounds, not in what a device needs for one of them.
    fleet = max(fleets, key=lambda each: len(each.left_out))
    costs = [
        run_cost(each.devices, row, rule, link_bits_per_s=link_bits_per_s, fixed_s=fixed_s)
        for row, each in zip(reached, fleets, strict=False)
        if each.devices
    ]
    row = rows[0]
    provenance: Provenance = (
        "measured" if all(each.provenance == "measured" for each in rows) else "modelled"
    )
    counted = "counted in the run" if provenance == "measured" else "not counted in a run"
    return MethodPlan(
        method=row.method,
        runs=len(rows),
        reached=len(reached),
        backpropagates=row.backpropagates,
        head_only=row.head_only,
        seconds=_figure([cost.seconds for cost in costs], "modelled", _basis(row, fleet, rule)),
        joules=_figure(
            [cost.joules for cost in costs if cost.joules is not None],
            "modelled",
            "busy seconds × the median power of the profile's arms",
        ),
        peak_memory_bytes=_memory(row, fleet, rule),
        bytes_down=_figure([each.bytes_down for each in reached], provenance, counted),
        bytes_up=_figure([each.bytes_up for each in reached], provenance, counted),
        devices=len(profiles),
        left_out=fleet.left_out,
        notes=tuple(_notes(rows, fleet, costs, profiles)),
    )


def _figure(values: Sequence[float], provenance: Provenance, basis: str) -> Figure | None:
    if not values:
        return None
    return Figure(
        value=median(values),
        low=min(values),
        high=max(values),
        provenance=provenance,
        basis=basis,
    )


def _basis(row: ConvergenceRow, fleet: FleetCost, rule: BackpropRule) -> str:
    parts = []
    if row.probes:
        measured = sum(
            device.probe_s is not None and device.probe_s.provenance == "measured"
            for device in fleet.devices
        )
        parts.append(
            f"seconds per probe measured on {measured} of {len(fleet.devices)} devices, "
            "else by their cost model"
        )
    if row.forward_passes:
        parts.append("seconds per forward pass by the cost model")
    if row.bp_steps:
        again = ", layers computed twice" if rule.recompute else ""
        parts.append(f"a backpropagation step as {rule.forward_passes:g} forward passes{again}")
    division = (
        "divided for the smallest makespan" if row.division == "makespan" else "in equal shares"
    )
    shares = f"; probes {division}" if row.probes else ""
    return f"rounds of the run; {'; '.join(parts)}{shares}"


def _memory(row: ConvergenceRow, fleet: FleetCost, rule: BackpropRule) -> Figure | None:
    if fleet.memory_needed is None:
        return None
    if not row.backpropagates:
        basis = "the profile's arms"
    elif row.client_peak_bytes is not None:
        basis = "a client's peak on the machine of the run"
    else:
        basis = "a forward pass by the profile, with activations, gradients and " + (
            f"{rule.optimizer_moments} moments from the architecture"
        )
    memory = fleet.memory_needed
    return _figure([memory.value], memory.provenance, basis)


def _notes(
    rows: Sequence[ConvergenceRow],
    fleet: FleetCost,
    costs: Sequence[RunCost],
    profiles: Sequence[Profile],
) -> list[str]:
    row, notes = rows[0], []
    missed = sum(not each.reached for each in rows)
    if missed:
        notes.append(f"{missed} of {len(rows)} runs did not reach the target")
    if fleet.devices and len(fleet.devices) < row.clients:
        notes.append(
            f"its runs had {row.clients} clients a round; "
            f"{len(fleet.devices)} devices share their work"
        )
    if costs and all(cost.joules is None for cost in costs):
        unknown = sum(device.watts is None for device in fleet.devices)
        notes.append(f"the power of {unknown} of {len(fleet.devices)} devices was not measured")
    if fleet.memory_needed is None:
        notes.append(
            "its memory is not known, so nobody checked that it fits: "
            "give the bundle, or measured peaks in the table"
        )
    if fleet.devices and fleet.left_out:
        notes.append(
            f"its time is that of the {len(fleet.devices)} of {len(profiles)} devices that can "
            "run it; what the data of the others would have taught is missing"
        )
    return notes
