"""Peak memory by arm, beside what the memory model says of it."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.figure import Figure

from device_bench.profiles.profile import BackendProfile
from toolkit.report.content import Plot, Section, Table, columns
from toolkit.report.drawing import FIRST, SECOND, figure, name_rows, note_row
from toolkit.report.thinning import MOST_ARMS
from toolkit.report.wording import UNKNOWN, arm_name, megabytes


def memory_part(backend: BackendProfile, device_bytes: int | None, anchor: str) -> Section:
    """The peak of each arm's process, and what share of the device's memory the highest is."""
    highest = max(backend.arms, key=lambda arm: arm.peak_memory_bytes)
    shown = backend.arms[:MOST_ARMS]
    share = f", {highest.peak_memory_bytes / device_bytes:.2%} of all" if device_bytes else ""
    facts = [
        (
            "peak (measured)",
            f"{megabytes(highest.peak_memory_bytes)} MB at {arm_name(highest)}{share}",
        ),
        (
            "memory of the device",
            UNKNOWN if device_bytes is None else f"{device_bytes / 2**30:.1f} GiB",
        ),
        *_models(backend),
    ]
    modelled = [backend.modelled_bytes(arm.setting) for arm in backend.arms]

    def draw() -> Figure:
        drawn = figure(height=0.9 + 0.24 * len(shown))
        axes = drawn.subplots()
        sizes = [arm.peak_memory_bytes / 1e6 for arm in shown]
        rows = range(len(shown))
        axes.barh(rows, sizes, height=0.62, color=FIRST, alpha=0.75, label="measured")
        for row, size in zip(rows, sizes, strict=True):
            note_row(axes, row, f"{size:.1f}")
        known = [(size / 1e6, row) for row, size in zip(rows, modelled, strict=False) if size]
        if known:
            axes.plot(*zip(*known, strict=True), "|", color=SECOND, markersize=13,
                      markeredgewidth=2, label="modelled, margin included")  # fmt: skip
        name_rows(axes, [arm_name(arm) for arm in shown])
        axes.set_xlabel("peak MB")
        axes.grid(axis="x")
        drawn.legend(loc="outside upper right", ncols=2)
        return drawn

    plot = Plot(
        "Peak memory by arm",
        f"Between {megabytes(min(arm.peak_memory_bytes for arm in backend.arms))} and "
        f"{megabytes(highest.peak_memory_bytes)} MB: the largest resident set (VmHWM) of any job "
        "of the arm, mapped weights included.",
        draw,
        Table(
            "Peak memory by arm",
            columns("arm", "#peak MB (measured)", "#peak MB (modelled)"),
            [
                (
                    arm_name(arm),
                    megabytes(arm.peak_memory_bytes),
                    "" if size is None else megabytes(size),
                )
                for arm, size in zip(backend.arms, modelled, strict=True)
            ],
        ),
        "Marks are what the memory model says, its margin included."
        if any(modelled)
        else "No memory model was fitted.",
    )
    return Section("Memory", f"{anchor}_memory", facts, plots=[plot])


def _models(backend: BackendProfile) -> Iterator[tuple[str, str]]:
    for name, model in (("differences", backend.memory), ("tangents", backend.tangent_memory)):
        if model is None:
            continue
        yield (
            f"memory of {name} (modelled)",
            f"({megabytes(model.base_bytes)} MB + {model.bytes_per_column:.3g} B a column + "
            f"{model.bytes_per_pair:.3g} B a pair + {model.bytes_per_parameter:.3g} B a LoRA "
            f"parameter) · {1 + model.margin:.3f}",
        )
        if model.median_relative_error is not None:
            error = f"{model.median_relative_error:.1%} (median)"
            yield f"error of the memory of {name}, an arm left out", error
