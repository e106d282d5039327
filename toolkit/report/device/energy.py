"""Joules per probe, or why they are unknown."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from device_bench.fitting.arm_energy import ArmEnergy
from device_bench.plans.sweep_plan import Arm
from device_bench.profiles.profile import BackendProfile, Interval
from toolkit.report.content import Plot, Section, Table, columns
from toolkit.report.drawing import INK, THIRD, figure, name_rows
from toolkit.report.wording import arm_name, interval_text


def energy_part(
    backend: BackendProfile, energies: Mapping[Arm, ArmEnergy] | None, anchor: str
) -> Section:
    """The energy of each arm of which it is known.

    Args:
        energies: of the samples, with reasons; None: there is a profile alone.
    """
    known = [
        (arm_name(arm), arm.joules_per_probe)
        for arm in backend.arms
        if arm.joules_per_probe is not None
    ]
    facts = [("arms with a known energy", f"{len(known)} of {len(backend.arms)}")]
    if (model := backend.energy) is not None:
        facts.append(("power of a probe (modelled)", f"{interval_text(model.watts)} W"))
        if model.median_relative_error is not None:
            error = f"{model.median_relative_error:.1%} (median)"
            facts.append(("error of joules by that power, an arm left out", error))
    else:
        facts.append(("power of a probe", "no model, since no arm's energy is known"))
    reasons = dict.fromkeys(
        reason for energy in (energies or {}).values() for reason in energy.reasons
    )
    facts += [("unknown because", reason) for reason in reasons]
    if not known and not reasons:
        facts.append(("unknown because", "the profile tells no reason; its samples would"))
    plots = [_plot(known)] if known else []
    return Section("Energy", f"{anchor}_energy", facts, plots=plots)


def _plot(known: list[tuple[str, Interval]]) -> Plot:
    values = [joules.value for _, joules in known]

    def draw() -> Figure:
        drawn = figure(height=0.8 + 0.24 * len(known))
        axes = drawn.subplots()
        low = [joules.value - joules.low for _, joules in known]
        high = [joules.high - joules.value for _, joules in known]
        axes.barh(
            range(len(known)), values, xerr=[low, high], height=0.62, color=THIRD, alpha=0.75,
            capsize=2, ecolor=INK,
        )  # fmt: skip
        name_rows(axes, [name for name, _ in known])
        axes.set_xlabel("joules per probe")
        axes.grid(axis="x")
        return drawn

    return Plot(
        "Energy by arm",
        "Joules per probe from the battery's gauge, above what the idle device takes: medians over "
        f"jobs with 95 % intervals, between {min(values):.3g} and {max(values):.3g} J.",
        draw,
        Table(
            "Joules per probe by arm (measured)",
            columns("arm", "#J per probe", "#95 % CI"),
            [(name, f"{each.value:.3g}", interval_text(each)) for name, each in known],
        ),
    )
