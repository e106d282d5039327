"""An allocation on the page."""

from __future__ import annotations

from toolkit.allocation.contract import Allocation
from toolkit.report.section import Section, Table, figure, svg


def allocation_section(allocation: Allocation) -> Section:
    """Who runs how many probes, how long that takes, and who was left out."""
    facts = [
        ("probes", str(allocation.probes)),
        (
            "kind of probe",
            f"{allocation.estimator}, batch {allocation.batch}, {allocation.tokens} tokens",
        ),
        (
            f"makespan ({allocation.makespan_provenance})",
            f"{allocation.makespan_s:.4g} s, lower bound {allocation.lower_bound_s:.4g} s",
        ),
    ]
    facts += [(f"left out: {left.target}", left.reason) for left in allocation.left_out]
    devices = Table(
        caption="Devices",
        headers=("target", "backend", "probes", "at once", "s per probe", "expected s", "peak MB"),
        rows=[
            (
                device.target,
                device.backend,
                str(device.probes),
                str(device.directions_per_pass),
                f"{device.seconds_per_probe.value:.3g} ({device.seconds_per_probe.provenance})",
                f"{device.expected_s:.3g}",
                f"{device.peak_memory_bytes.value / 1e6:.0f} "
                f"({device.peak_memory_bytes.provenance})",
            )
            for device in allocation.devices
        ],
    )
    title = f"{allocation.probes} probes over {len(allocation.devices)} devices"
    return Section("allocation", title, facts, plots=[_plot(allocation)], tables=[devices])


def _plot(allocation: Allocation) -> str:
    drawn = figure(height=1.4 + 0.4 * len(allocation.devices))
    axes = drawn.subplots()
    names = [device.target for device in allocation.devices]
    bars = axes.barh(names, [device.expected_s for device in allocation.devices])
    axes.bar_label(bars, [f"{device.probes} probes" for device in allocation.devices], padding=8)
    axes.axvline(
        allocation.lower_bound_s, color="tab:red", linestyle="--", label="lower bound of makespan"
    )
    axes.margins(x=0.25)
    axes.set_xlabel("expected seconds")
    drawn.legend(fontsize=8, loc="outside upper right")
    return svg(drawn)
