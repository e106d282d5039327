"""The bundles and backends of a plan: each pair is a sweep with a SAMPLES folder of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from android_harness.building.accelerators import Accelerator, accelerator_of
from device_bench.plans.bench_plan import CPU
from device_bench.profiles.profile import BackendProfile, Profile
from exporters.manifest import Bundle


@dataclass(frozen=True)
class BenchPart:
    """One bundle on one backend.

    Attributes:
        device: what computes, as `--device` takes it; None: the CPU, or the bundle's own backend.
        name: of its folder, where there are several.
        accelerators: of all parts of the bundle, so that they can share a runner.
    """

    bundle: Bundle
    device: str | None
    name: str
    accelerators: tuple[Accelerator, ...]

    def folder(self, parts: Sequence[BenchPart], of_device: Path) -> Path:
        """Its SAMPLES folder; a part that is alone has the device's."""
        return of_device / self.name if len(parts) > 1 else of_device

    def found_in(self, profiles: Sequence[Profile], target: str) -> BackendProfile | None:
        """What an earlier profile says of it on this target; None: no profile is of both."""
        manifest = self.bundle.manifest
        backend = manifest.backend or f"ggml-{accelerator_of(self.device) or CPU}"
        return next(
            (
                each
                for profile in profiles
                if (profile.target, profile.bundle_sha256) == (target, self.bundle.sha256)
                for each in profile.backends
                if each.backend == backend
            ),
            None,
        )


def bench_parts(folders: Sequence[Path], backends: Sequence[str]) -> list[BenchPart]:
    """Every bundle on every backend; one for ExecuTorch, which has its own, once of several.

    Raises:
        ContractError: a folder is no bundle.
        FwdllmError: there is no such backend.
    """
    parts: list[BenchPart] = []
    names: set[str] = set()
    for folder in dict.fromkeys(folders):
        bundle = Bundle(folder)
        own = bundle.manifest.backend is not None and len(backends) > 1
        chosen = [CPU] if own else list(dict.fromkeys(backends))
        devices = [None if name == CPU else name for name in chosen]
        found = dict.fromkeys(accelerator_of(device) for device in devices)
        accelerators = tuple(each for each in found if each is not None)
        for device in devices:
            words = [folder.resolve().name]
            if len(backends) > 1:
                words.append(device or bundle.manifest.backend or CPU)
            name = _unused("-".join(words), names)
            names.add(name)
            parts.append(BenchPart(bundle, device, name, accelerators))
    return parts


def _unused(name: str, used: set[str]) -> str:
    """The name, or with a number behind it that no other has."""
    candidate, number = name, 2
    while candidate in used:
        candidate, number = f"{name}-{number}", number + 1
    return candidate
