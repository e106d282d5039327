"""An allocation: who runs how many probes, how long that takes, and who was left out."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from exporters.lora.request import layers_text
from toolkit.allocation.contract import Allocation, DeviceAllocation
from toolkit.report.content import Plot, Section, Table, columns
from toolkit.report.drawing import FIRST, INK, SECOND, SOFT, THIRD, figure, name_rows, note_row
from toolkit.report.wording import UNKNOWN, megabytes, seconds_text

_MOST_ROWS = 40
_NORMAL_90 = 1.2816  # the standard normal's 90 % quantile: between both signs lie 80 %


def allocation_section(allocation: Allocation, anchor: str) -> Section:
    """The plan of a round."""
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
        "Devices",
        columns(
            "target",
            "backend",
            "#probes",
            "#batch",
            "#at once",
            "layers",
            "#s per probe",
            "#planned s",
            "#late",
            "#J",
            "#peak MB",
        ),
        [_row(device) for device in allocation.devices],
        filterable=len(allocation.devices) > _MOST_ROWS,
    )
    number = len(allocation.devices)
    title = f"{allocation.planned_probes} probes over {number} device{'s' if number != 1 else ''}"
    return Section(title, anchor, facts, plots=[_plan(allocation)], tables=[devices])


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
        seconds_text(device.planned_s),
        f"{device.late_probability:.0%}" if device.probes else "",
        UNKNOWN
        if device.joules is None
        else f"{device.joules.value:.3g} ({device.joules.provenance})",
        f"{megabytes(device.peak_memory_bytes.value)} ({device.peak_memory_bytes.provenance})",
    )


def _span(device: DeviceAllocation) -> tuple[float, float]:
    """When the device is done in 80 of 100 rounds, taking its seconds as log-normal."""
    probing_s = device.expected_s - device.fixed_s
    factor = math.exp(_NORMAL_90 * device.log_sigma)
    return device.fixed_s + probing_s / factor, device.fixed_s + probing_s * factor


def _plan(allocation: Allocation) -> Plot:
    working = sorted(
        (device for device in allocation.devices if device.probes),
        key=lambda device: -device.planned_s,
    )
    shown = working[:_MOST_ROWS]
    legend = (
        "When each device is done, the last on top: the fixed part, the probes in the median, and "
        "a whisker over 80 of 100 rounds (modelled)."
    )
    if len(shown) < len(working):
        legend += f" The last {len(shown)} of {len(working)} devices are drawn."
    return Plot(
        "Plan of the round",
        f"Makespan {allocation.makespan_s:.4g} s, lower bound {allocation.lower_bound_s:.4g} s.",
        lambda: _draw(allocation, shown),
        Table(
            "Seconds of each device, the last first (modelled)",
            columns("target", "#probes", "#fixed s", "#median s", "#80 % from", "#80 % to",
                    "#planned s"),
            [
                (
                    device.target,
                    str(device.probes),
                    seconds_text(device.fixed_s),
                    seconds_text(device.expected_s),
                    *(seconds_text(end) for end in _span(device)),
                    seconds_text(device.planned_s),
                )
                for device in shown
            ],
        ),
        legend,
    )  # fmt: skip


def _draw(allocation: Allocation, shown: Sequence[DeviceAllocation]) -> Figure:
    drawn = figure(height=1.3 + 0.34 * len(shown))
    axes = drawn.subplots()
    rows = range(len(shown))
    fixed = [device.fixed_s for device in shown]
    done = [device.expected_s for device in shown]
    if any(fixed):
        axes.barh(
            rows, fixed, height=0.55, color="none", edgecolor=SOFT, hatch="////", label="fixed part"
        )
    axes.barh(
        rows,
        [end - start for start, end in zip(fixed, done, strict=True)],
        left=fixed,
        height=0.55,
        color=FIRST,
        alpha=0.75,
        label="probes",
    )
    spans = [_span(device) for device in shown]
    axes.errorbar(
        done,
        rows,
        xerr=[
            [end - low for end, (low, _) in zip(done, spans, strict=True)],
            [high - end for end, (_, high) in zip(done, spans, strict=True)],
        ],
        fmt="none",
        ecolor=INK,
        capsize=3,
        lw=1.2,
        label="80 of 100 rounds",
    )
    axes.axvline(allocation.makespan_s, color=INK, lw=1.2, label="makespan")
    axes.axvline(allocation.lower_bound_s, color=SECOND, ls="--", lw=1.2, label="lower bound")
    if allocation.deadline_s is not None:
        axes.axvline(allocation.deadline_s, color=THIRD, ls=":", lw=1.6, label="deadline")
    for row, device in enumerate(shown):
        note_row(axes, row, f"{device.probes} probes")
    name_rows(axes, [device.target for device in shown])
    axes.set_xlim(left=0)
    axes.set_xlabel("seconds since the round began")
    axes.grid(axis="x")
    drawn.legend(loc="outside upper center", ncols=6)
    return drawn
