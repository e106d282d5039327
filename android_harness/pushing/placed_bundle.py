"""What a runner needs of a bundle, and where it lies on a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from android_harness.building.engines import engine_of
from exporters.manifest import MANIFEST_NAME, Bundle


@dataclass(frozen=True)
class PlacedBundle:
    """The paths on the device of a bundle's files; see `Job` for what they are."""

    model: PurePosixPath
    adapter: PurePosixPath
    files: Mapping[str, PurePosixPath]  # by their names in the manifest


class Place(Protocol):
    """Puts a file of this machine on the device and returns its path there."""

    def __call__(self, local: Path, *, sha256: str | None = None) -> PurePosixPath: ...


def place_bundle(bundle: Bundle, place: Place) -> PlacedBundle:
    """Places what the bundle's engine reads: the GGUF files, or the manifest and what it names.

    Their hashes are the manifest's, so that what is there already is not read here.
    """
    files = {
        file.name: (file.role, file.sha256)
        for file in bundle.manifest.files
        if file.role in ("program", "base", "adapter")
    }
    placed = {
        name: place(bundle.folder / name, sha256=sha256) for name, (_, sha256) in files.items()
    }
    adapter = placed[bundle.adapter.name]
    if engine_of(bundle.manifest.format) == "ggml":
        return PlacedBundle(model=placed[bundle.base.name], adapter=adapter, files={})
    return PlacedBundle(
        model=place(bundle.folder / MANIFEST_NAME),
        adapter=adapter,
        files={name: placed[name] for name, (role, _) in files.items() if role != "adapter"},
    )
