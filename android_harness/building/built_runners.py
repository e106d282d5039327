"""The runners that are in the cache: which there are, and which nothing asks for any more."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from android_harness.building.accelerators import ACCELERATORS, RunnerBuildError
from android_harness.building.elf import read_elf
from android_harness.building.engines import ENGINES, Engine, program_of
from android_harness.building.recipe import (
    Recipe,
    host_abi,
    native_recipe,
    phone_recipe,
    runners_folder,
)
from android_harness.building.toolchains import TOOLCHAINS
from android_harness.building.variants import PHONE_ABIS, variants
from exporters.durable_files import sha256_of


@dataclass(frozen=True)
class BuiltRunner:
    """A runner in the cache.

    Attributes:
        engine: what computes.
        abi, variant, toolchain, accelerators: what it was built for and with; the variant is
            `native` for this machine's own, and None where the folder has a name of another time.
        current: it is what would be built now from the sources that are here.
        bytes, sha256: of the binary.
    """

    path: Path
    engine: Engine
    abi: str
    variant: str | None
    toolchain: str | None
    accelerators: tuple[str, ...]
    current: bool
    bytes: int
    sha256: str

    @property
    def labels(self) -> tuple[str, ...]:
        """What is known of what it was built for and with."""
        return tuple(filter(None, (self.abi, self.variant, self.toolchain, *self.accelerators)))


def built_runners() -> list[BuiltRunner]:
    """All in the cache, by their paths."""
    programs = {program_of(engine) for engine in ENGINES}
    paths = sorted(runners_folder().glob("*/*"))
    return [read_built_runner(path) for path in paths if path.name in programs]


def remove_stale_runners() -> list[BuiltRunner]:
    """Removes those that are not current; what was removed."""
    stale = [runner for runner in built_runners() if not runner.current]
    for runner in stale:
        shutil.rmtree(runner.path.parent)
    return stale


def read_built_runner(path: Path) -> BuiltRunner:
    """What is known of a runner at a path that a recipe gave it."""
    engine = next(engine for engine in ENGINES if program_of(engine) == path.name)
    labels = path.parent.name.split(".")[:-1]
    try:
        recipe = _recipe(labels, engine)
        current = recipe is not None and recipe.path == path
    except RunnerBuildError:  # what it is linked to is not installed any more
        current = False
    elf = read_elf(path)
    abi, variant, toolchain = labels[:3] if len(labels) > 2 else (None, None, None)
    return BuiltRunner(
        path=path,
        engine=engine,
        abi=abi or (elf.abi if elf is not None else "unknown"),
        variant=variant,
        toolchain=toolchain,
        accelerators=tuple(labels[3:]),
        current=current,
        bytes=path.stat().st_size,
        sha256=sha256_of(path),
    )


def _recipe(labels: list[str], engine: Engine) -> Recipe | None:
    """What a runner with these labels is built of now; None: no runner has such labels now."""
    if len(labels) < 3 or labels[0] not in PHONE_ABIS:
        return None
    abi, name, compiler, *named = labels
    accelerators = [each for each in ACCELERATORS if each in named]
    if (abi, name) == (host_abi(), "native"):
        return native_recipe(accelerators, engine=engine)
    for variant in variants(abi, engine):
        for toolchain in TOOLCHAINS:
            if (variant.name, toolchain) == (name, compiler):
                return phone_recipe(abi, variant, toolchain, accelerators, engine=engine)
    return None
