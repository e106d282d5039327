"""From what lies at the paths to the sections of a report."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from importlib import metadata
from pathlib import Path

from toolkit.report.allocation_section import allocation_section
from toolkit.report.bundle_section import bundle_section
from toolkit.report.content import Report, Section
from toolkit.report.device.section import device_section
from toolkit.report.fleet_section import fleet_section
from toolkit.report.gather import Device, Gathered, gather
from toolkit.report.run_section import run_section
from toolkit.report.wording import moment

# Plots and tables of a device take about half a second and 150 kB.
MOST_DETAILED_DEVICES = 20
# Their sections take 15 ms and 5 kB each, and a browser half a minute with ten thousand of them.
MOST_DEVICES_WITH_SECTIONS = 1000
_MOST_UNFOLDED_DEVICES = 3


def build_report(paths: Sequence[Path], *, now: datetime, title: str = "fwdllm report") -> Report:
    """The fleet first, then what it was asked to do and did, then each device.

    Args:
        now: what profiles have expired by.

    Raises:
        ReportError: a path is none of bundle, samples, profile, allocation, run.
        ContractError: a file that it should be read from is damaged.
    """
    made = f"Written {moment(now)} by fwdllm {metadata.version('fwdllm-toolkit')}."
    return Report(title, made, list(_sections(gather(paths), now)))


def _sections(gathered: Gathered, now: datetime) -> Iterator[Section]:
    devices = _anchored(gathered.devices(now))
    allocations = [
        allocation_section(allocation, f"allocation-{number}")
        for number, allocation in enumerate(gathered.allocations, start=1)
    ]
    runs = [run_section(run, f"run-{n}") for n, run in enumerate(gathered.runs, start=1)]
    bundles = [
        bundle_section(bundle, f"bundle-{number}")
        for number, bundle in enumerate(gathered.bundles, start=1)
    ]
    in_sections = len(devices) <= MOST_DEVICES_WITH_SECTIONS
    if devices:
        yield fleet_section(devices, now, linked=in_sections)
    if allocations:
        yield Section("Allocations", "allocations", parts=allocations)
    if runs:
        yield Section("Training runs", "runs", parts=runs)
    if devices and in_sections:
        yield _devices(devices, now)
    if bundles:
        yield Section("Bundles", "bundles", parts=bundles)


def _devices(devices: Sequence[tuple[str, Device]], now: datetime) -> Section:
    """A section each: folded where they are many, in brief where they are very many."""
    sections = [
        replace(device_section(device, anchor, now), folded=len(devices) > _MOST_UNFOLDED_DEVICES)
        for anchor, device in devices
    ]
    facts = []
    if len(devices) > MOST_DETAILED_DEVICES:
        sections = [section.in_brief() for section in sections]
        facts.append(
            (
                "plots and arms",
                f"left out, as in every report on more than {MOST_DETAILED_DEVICES} devices; write "
                "one on the devices to look at",
            )
        )
    return Section("Devices", "devices", facts, parts=sections)


def _anchored(devices: Sequence[Device]) -> list[tuple[str, Device]]:
    """Each device with a name for links: `device-adb-tcp-127-0-0-1-5555`.

    What is added to a name begins with an underline, which no name has.
    """
    seen: Counter[str] = Counter()
    anchored = []
    for device in devices:
        anchor = "device-" + (re.sub(r"[^a-z0-9]+", "-", device.target.lower()).strip("-") or "x")
        seen[anchor] += 1
        own = anchor if seen[anchor] == 1 else f"{anchor}__{seen[anchor]}"
        anchored.append((own, device))
    return anchored
