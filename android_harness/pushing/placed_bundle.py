"""What a runner needs of a bundle, and where it lies on a device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from android_harness.building.engines import engine_of
from exporters.manifest import MANIFEST_NAME, Bundle


@dataclass(frozen=True)
class PlacedBundle:
    """The paths on the device of a bundle's files; see `Job` for what they are."""

    model: PurePosixPath
    adapter: PurePosixPath
    files: Mapping[str, PurePosixPath]  # by their names in the manifest


def place_bundle(bundle: Bundle, place: Callable[[Path], PurePosixPath]) -> PlacedBundle:
    """Places what the bundle's engine reads: the GGUF files, or the manifest and what it names.

    Args:
        place: puts a file of this machine on the device and returns its path there.
    """
    if engine_of(bundle.manifest.format) == "ggml":
        return PlacedBundle(model=place(bundle.base), adapter=place(bundle.adapter), files={})
    needed = [file.name for file in bundle.manifest.files if file.role in ("program", "base")]
    return PlacedBundle(
        model=place(bundle.folder / MANIFEST_NAME),
        adapter=place(bundle.adapter),
        files={name: place(bundle.folder / name) for name in needed},
    )
