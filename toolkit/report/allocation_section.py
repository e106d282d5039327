"""An allocation on the page."""

from __future__ import annotations

from exporters.lora.request import layers_text
from toolkit.allocation.contract import Allocation, DeviceAllocation
from toolkit.report.section import Section, Table, figure, svg


def allocation_section(allocation: Allocation) -> Section:
    """Who runs how many probes, how long that takes, and who was left out."""
    facts = [
        ("probes", _probes(allocation)),
        (
            "kind of probe",
            f"{allocation.estimator}, batch {allocation.batch}, {allocation.tokens} tokens",
        ),
        (
            f"makespan ({allocation.makespan_provenance})",
            f"{allocation.makespan_s:.4g} s at quantile {allocation.quantile:g}, "
            f"lower bound {allocation.lower_bound_s:.4g} s",
        ),
        (
            "late devices (modelled)",
            f"{allocation.expected_late_share:.1%} expected, none with probability "
            f"{allocation.nobody_late_probability:.1%}",
        ),
    ]
    if allocation.deadline_s is not None:
        facts.append(("deadline", f"{allocation.deadline_s:g} s"))
    facts += [("note", note) for note in allocation.notes]
    facts += [(f"left out: {left.target}", left.reason) for left in allocation.left_out]
    devices = Table(
        caption="Devices",
        headers=(
            "target",
            "backend",
            "probes",
            "batch",
            "at once",
            "layers",
            "s per probe",
            "planned s",
            "late",
            "J",
            "peak MB",
        ),
        rows=[_row(device) for device in allocation.devices],
    )
    title = f"{allocation.planned_probes} probes over {len(allocation.devices)} devices"
    return Section("allocation", title, facts, plots=[_plot(allocation)], tables=[devices])


def _probes(allocation: Allocation) -> str:
    if allocation.planned_probes == allocation.probes:
        return str(allocation.probes)
    return (
        f"{allocation.probes}, for which {allocation.planned_probes} are handed out "
        f"({allocation.over_provision:.2f} times the worth)"
    )


def _row(device: DeviceAllocation) -> tuple[str, ...]:
    return (
        device.target,
        device.backend,
        str(device.probes),
        str(device.batch),
        str(device.directions_per_pass),
        layers_text(device.layers),
        f"{device.seconds_per_probe.value:.3g} ({device.seconds_per_probe.provenance})",
        f"{device.planned_s:.3g}",
        f"{device.late_probability:.0%}" if device.probes else "",
        "unknown"
        if device.joules is None
        else f"{device.joules.value:.3g} ({device.joules.provenance})",
        f"{device.peak_memory_bytes.value / 1e6:.0f} ({device.peak_memory_bytes.provenance})",
    )


def _plot(allocation: Allocation) -> str:
    drawn = figure(height=1.4 + 0.4 * len(allocation.devices))
    axes = drawn.subplots()
    names = [device.target for device in allocation.devices]
    bars = axes.barh(names, [device.planned_s for device in allocation.devices])
    axes.bar_label(bars, [f"{device.probes} probes" for device in allocation.devices], padding=8)
    axes.axvline(
        allocation.lower_bound_s, color="tab:red", linestyle="--", label="lower bound of makespan"
    )
    axes.margins(x=0.25)
    axes.set_xlabel("planned seconds")
    drawn.legend(fontsize=8, loc="outside upper right")
    return svg(drawn)
