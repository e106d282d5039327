"""What lies at the paths of a report, recognised by its files; what is of one device, together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

from android_harness.facts.device_facts import DeviceFacts
from android_harness.state.held_settings import SETTINGS_NAME, HeldSettings
from android_harness.telemetry.trace import Trace
from device_bench.fitting.arm_energy import ArmEnergy, arm_energies
from device_bench.fitting.fit_profile import fit_profile
from device_bench.numerics.contract import NumericEvidence
from device_bench.numerics.measure import NUMERICS_NAME
from device_bench.plans.sweep_plan import Arm
from device_bench.profiles.profile import Profile
from device_bench.profiles.profile_files import MANY_SUFFIX, read_profiles
from device_bench.samples.measurement import Measurement
from device_bench.samples.provenance import Sweep
from device_bench.samples.samples_folder import (
    SAMPLES_NAME,
    SWEEP_NAME,
    read_measurements,
    read_telemetry,
)
from device_bench.samples.sustained import longest_run
from exporters.errors import FwdllmError
from exporters.manifest import MANIFEST_NAME, Bundle
from toolkit.allocation.contract import Allocation
from toolkit.training.run_folder import RunFolder

_READ = (".json", MANY_SUFFIX)  # suffixes of files that may be of interest in a folder


class ReportError(FwdllmError):
    """A path holds nothing that the report knows, or the report cannot be written as asked."""


@dataclass(frozen=True)
class Samples:
    """A SAMPLES folder; its files are read when they are first asked for."""

    folder: Path
    sweep: Sweep

    @cached_property
    def measurements(self) -> list[Measurement]:
        return read_measurements(self.folder / SAMPLES_NAME)

    @cached_property
    def backends(self) -> set[str]:
        return {each.backend for each in self.measurements}

    @cached_property
    def energies(self) -> dict[Arm, ArmEnergy]:
        return arm_energies(self.trace, self.measurements)

    @cached_property
    def numerics(self) -> NumericEvidence | None:
        """What the numeric gate asked and was told; None: there was no gate."""
        path = self.folder / NUMERICS_NAME
        return NumericEvidence.read(path) if path.exists() else None

    def long_run(self, backend: str | None = None) -> Measurement | None:
        """The one that a backend's sustained factor is from; None: there was none."""
        return longest_run(self.folder, backend=backend)

    @cached_property
    def trace(self) -> Trace | None:
        """What the device's sensors said; None: no telemetry was recorded."""
        return read_telemetry(self.folder)

    @cached_property
    def settings(self) -> HeldSettings | None:
        """The device's settings during the sweep; None: they were not noted."""
        path = self.folder / SETTINGS_NAME
        return HeldSettings.read(path) if path.exists() else None


@dataclass(frozen=True)
class Device:
    """A device with one bundle: its profile, the samples behind it, or both.

    `profile` is None where not a single job of the samples has ended. The samples are a folder for
    each backend where the profile was joined of several.
    """

    target: str
    facts: DeviceFacts
    profile: Profile | None
    samples: tuple[Samples, ...]


@dataclass
class Gathered:
    """All that the paths hold, each kind in the order of the paths."""

    bundles: list[Bundle] = field(default_factory=list)
    profiles: list[Profile] = field(default_factory=list)
    samples: list[Samples] = field(default_factory=list)
    allocations: list[Allocation] = field(default_factory=list)
    runs: list[RunFolder] = field(default_factory=list)

    def devices(self, now: datetime) -> list[Device]:
        """Each profile with its samples, then samples without one, fitted as of `now`."""
        left = list(self.samples)
        devices = []
        for profile in self.profiles:
            own = _samples_of(profile, left)
            left = [samples for samples in left if samples not in own]
            devices.append(Device(profile.target, profile.device, profile, tuple(own)))
        for samples in left:
            fitted = fit_profile(samples.folder, now=now) if samples.measurements else None
            devices.append(Device(samples.sweep.target, samples.sweep.device, fitted, (samples,)))
        return devices


def gather(paths: Sequence[Path]) -> Gathered:
    """Reads what the paths hold; of a folder of such things, all of them.

    Raises:
        ReportError: a path holds none of bundle, samples, profile, allocation, run.
        ContractError: a file that it should be read from is damaged.
    """
    gathered = Gathered()
    for path in paths:
        if _add(gathered, path):
            continue
        # A device's folder holds one for each of its bundles and backends.
        if not any([_add(gathered, each) or _add_inside(gathered, each) for each in _inside(path)]):
            raise ReportError(
                "this is no bundle, samples or run folder, and no profile or allocation file",
                remedy="give what fwdllm export, bench, profile, allocate or train wrote",
                file=path,
            )
    return gathered


def _add(gathered: Gathered, path: Path) -> bool:
    """Whether the path is something that a report shows."""
    if (path / MANIFEST_NAME).is_file():
        gathered.bundles.append(Bundle(path))
    elif (path / SWEEP_NAME).is_file():
        gathered.samples.append(Samples(path, Sweep.read(path / SWEEP_NAME)))
    elif RunFolder(path).exists():
        gathered.runs.append(RunFolder(path))
    elif "backends" in (fields := _fields(path)):
        gathered.profiles += read_profiles(path)
    elif "makespan_s" in fields:
        gathered.allocations.append(Allocation.read(path))
    else:
        return False
    return True


def _add_inside(gathered: Gathered, path: Path) -> bool:
    return any([_add(gathered, child) for child in _inside(path)])


def _inside(path: Path) -> list[Path]:
    """What may be of interest in a folder, which may hold models of many gigabytes too."""
    if not path.is_dir():
        return []
    return sorted(child for child in path.iterdir() if child.is_dir() or child.suffix in _READ)


def _fields(path: Path) -> set[str]:
    """Of a JSON document, or of the first line of JSON Lines."""
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text.partition("\n")[0] if path.suffix == MANY_SUFFIX else text)
    except (OSError, ValueError):
        return set()
    return set(content) if isinstance(content, dict) else set()


def _samples_of(profile: Profile, candidates: Sequence[Samples]) -> list[Samples]:
    """The first folder of each of its backends."""
    own, missing = [], {backend.backend for backend in profile.backends}
    for samples in candidates:
        if _are_of(samples.sweep, profile) and samples.backends & missing:
            own.append(samples)
            missing -= samples.backends
    return own


def _are_of(sweep: Sweep, profile: Profile) -> bool:
    return (sweep.target, sweep.bundle_sha256) == (profile.target, profile.bundle_sha256)
