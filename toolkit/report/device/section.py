"""Everything that is known of one device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from android_harness.facts.cpu import CpuCluster
from device_bench.numerics.contract import NumericEvidence
from device_bench.profiles.profile import BackendProfile, Profile
from device_bench.samples.outstanding import least_left
from toolkit.report.content import Cell, Section
from toolkit.report.device.arms import arms_part, estimators_part
from toolkit.report.device.conditions import conditions_part
from toolkit.report.device.cost_model import cost_part
from toolkit.report.device.energy import energy_part
from toolkit.report.device.latency import latency_part
from toolkit.report.device.medians import medians_part
from toolkit.report.device.memory import memory_part
from toolkit.report.device.numerics import numerics_part
from toolkit.report.device.placements import placements_part
from toolkit.report.device.settings import settings_part
from toolkit.report.device.start import start_part
from toolkit.report.device.sustained import sustained_part
from toolkit.report.device.validity import standing_of, validity_part
from toolkit.report.gather import Device, Samples
from toolkit.report.wording import UNKNOWN, moment


def device_section(device: Device, anchor: str, now: datetime) -> Section:
    """What the device is, its numbers, and whether they can be trusted."""
    profile = device.profile
    facts: list[tuple[str, str | Cell]] = [
        ("device", device.facts.summary or UNKNOWN),
        ("clusters", clusters_text(device.facts.clusters) or UNKNOWN),
    ]
    parts: list[Section] = []
    if profile is not None:
        facts += _profile_facts(profile, now)
        parts += _backend_parts(profile, device.samples, anchor, now)
    for number, samples in enumerate(device.samples, start=1):
        several = len(device.samples) > 1
        of = f" of {samples.folder.name}" if several else ""
        facts += [(f"{name}{of}", value) for name, value in _sweep_facts(samples)]
        for part in _samples_parts(samples, f"{anchor}_samples_{number}" if several else anchor):
            parts.append(replace(part, title=f"{part.title}{of}"))
    if not device.samples:
        facts.append(("samples", "not given: no conditions, and no repetition alone, can be shown"))
    return Section(device.target, anchor, facts, parts=parts)


def clusters_text(clusters: tuple[CpuCluster, ...]) -> str:
    """The cores, fastest first: `1 x Cortex-X1 at 2.80 GHz + 3 x Cortex-A78 at 2.25 GHz`."""
    return " + ".join(_cluster_text(cluster) for cluster in reversed(clusters))


def _cluster_text(cluster: CpuCluster) -> str:
    design = cluster.micro_architecture or cluster.identity or "core"
    speed = f" at {cluster.max_frequency_khz / 1e6:.2f} GHz" if cluster.max_frequency_khz else ""
    return f"{len(cluster.cores)} × {design}{speed}"


def _profile_facts(profile: Profile, now: datetime) -> Iterator[tuple[str, str | Cell]]:
    for backend in profile.backends:
        standing = standing_of(profile, backend, now)
        yield f"verdict on {backend.backend}", Cell(standing, standing=standing)
    yield "measured at", moment(profile.measured_at)
    yield "expires at", moment(profile.expires_at)
    yield "bundle", profile.bundle_sha256[:16]
    yield "runner", profile.runner_sha256[:16]


def _sweep_facts(samples: Samples) -> Iterator[tuple[str, str | Cell]]:
    sweep, measurements = samples.sweep, samples.measurements
    repetitions = sum(len(measurement.samples) for measurement in measurements)
    yield "arms", str(len(sweep.plan.arms))
    planned = len(measurements) + least_left(sweep.plan, measurements)
    yield "jobs", f"{len(measurements)} of {planned}, interleaved at random"
    yield "repetitions (measured)", f"{repetitions}, first ones and warm-up included"
    arms = sweep.plan.arms
    yield "threads", ", ".join(str(each) for each in dict.fromkeys(arm.threads for arm in arms))
    yield "cores", ", ".join(dict.fromkeys(arm.cpu_mask or "any" for arm in arms))


def _backend_parts(
    profile: Profile, folders: Sequence[Samples], anchor: str, now: datetime
) -> Iterator[Section]:
    """The parts of each backend; of several, their titles name it."""
    named = len(profile.shown_backends) > 1
    for number, backend in enumerate(profile.shown_backends, start=1):
        own = f"{anchor}_{number}" if named else anchor
        beside = number > len(profile.backends)
        samples = next(
            (each for each in folders if backend.backend in each.backends and not beside), None
        )
        for part in _parts_of(profile, backend, samples, own, now):
            where = f"{backend.backend} of a bundle beside" if beside else backend.backend
            yield replace(part, title=f"{part.title}: {where}") if named else part


def _parts_of(
    profile: Profile, backend: BackendProfile, samples: Samples | None, anchor: str, now: datetime
) -> Iterator[Section]:
    yield validity_part(profile, backend, now, anchor)
    yield numerics_part(backend, _evidence(samples, backend), anchor)
    if not backend.arms:
        return
    placements = placements_part(backend, anchor)
    if placements is not None:
        yield placements
    measurements = [
        measurement
        for measurement in (samples.measurements if samples is not None else ())
        if measurement.backend == backend.backend
    ]
    if measurements:
        yield latency_part(measurements, backend.placements, anchor)
    else:
        yield medians_part(backend, anchor)
    start = start_part(backend, anchor)
    if start is not None:
        yield start
    long_run = samples.long_run(backend.backend) if samples is not None else None
    yield sustained_part(backend, long_run, samples.trace if samples is not None else None, anchor)
    cost = cost_part(backend, anchor)
    if cost is not None:
        yield cost
    estimators = estimators_part(backend, anchor)
    if estimators is not None:
        yield estimators
    yield memory_part(backend, profile.device.memory_total_bytes, anchor)
    yield energy_part(backend, samples.energies if samples is not None else None, anchor)
    yield arms_part(backend, anchor)


def _evidence(samples: Samples | None, backend: BackendProfile) -> NumericEvidence | None:
    evidence = samples.numerics if samples is not None else None
    return evidence if evidence is not None and evidence.is_of(backend.backend) else None


def _samples_parts(samples: Samples, anchor: str) -> Iterator[Section]:
    yield conditions_part(samples, anchor)
    if samples.settings is not None:
        yield settings_part(samples.settings, anchor)
