"""What a runner is built of and for; from that follows where the built one is kept."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from android_harness.building.accelerators import Accelerator, RunnerBuildError
from android_harness.building.engines import Engine, program_of
from android_harness.building.executorch_libraries import executorch_arguments
from android_harness.building.llama_cpp_sources import SDIST_SHA256
from android_harness.building.toolchains import (
    Toolchain,
    cpu_options,
    default_toolchain,
    identity,
)
from android_harness.building.variants import PHONE_ABIS, Variant, variants
from android_harness.host_folders import cache_root
from exporters.durable_files import sha256_of

RUNNER_SOURCES = Path(__file__).parents[1] / "runner"
NATIVE_OPTIONS = "-march=native"


@dataclass(frozen=True)
class ForPhones:
    """A runner that was made elsewhere than where it runs."""

    variant: Variant
    toolchain: Toolchain


@dataclass(frozen=True)
class Recipe:
    """What decides a runner, beside its sources.

    Attributes:
        abi: by Android's name.
        phones: None: for machines like this one, with its own compiler and all that its processor
            has.
        engine: what computes.
        accelerators: what ggml computes on beside the CPU.
    """

    abi: str
    phones: ForPhones | None
    engine: Engine = "ggml"
    accelerators: tuple[Accelerator, ...] = ()

    @property
    def cpu_options(self) -> str:
        """The compiler's options for the instruction set."""
        if self.phones is None:
            return NATIVE_OPTIONS
        return cpu_options(self.phones.toolchain, self.phones.variant)

    @property
    def path(self) -> Path:
        """Where the runner is when it is built."""
        name = ".".join([*self.labels, self._digest()[:16]])
        return runners_folder() / name / program_of(self.engine)

    @property
    def labels(self) -> tuple[str, ...]:
        """The ABI, the variant, the toolchain and the accelerators, as the folder names them."""
        phones = self.phones
        how = ("native", "here") if phones is None else (phones.variant.name, phones.toolchain)
        return (self.abi, *how, *self.accelerators)

    def _digest(self) -> str:
        """Changes with everything that the runner is made of."""
        what = [SDIST_SHA256, *self.labels, self.cpu_options]
        if self.phones is not None:
            what.append(identity(self.phones.toolchain))
        else:
            what.append(host_features())
            if self.engine == "executorch":
                what += executorch_arguments(android=False)
        digest = hashlib.sha256("\n".join(what).encode())
        for path in _source_files(self.engine):
            digest.update(f"{path.relative_to(RUNNER_SOURCES)} {sha256_of(path)}\n".encode())
        return digest.hexdigest()


def native_recipe(accelerators: Sequence[Accelerator] = (), *, engine: Engine = "ggml") -> Recipe:
    """For this machine, and others with the same system and processor.

    Raises:
        RunnerBuildError: the runner does not support this processor.
    """
    return Recipe(host_abi(), None, engine, tuple(sorted(accelerators)))


def phone_recipe(
    abi: str,
    variant: Variant,
    toolchain: Toolchain,
    accelerators: Sequence[Accelerator] = (),
    *,
    engine: Engine = "ggml",
) -> Recipe:
    """For phones of an ABI whose processors have what the variant uses."""
    return Recipe(abi, ForPhones(variant, toolchain), engine, tuple(sorted(accelerators)))


def phone_recipes(
    abi: str,
    names: Sequence[str] | None = None,
    toolchain: Toolchain | None = None,
    accelerators: Sequence[Accelerator] = (),
    *,
    engine: Engine = "ggml",
) -> list[Recipe]:
    """For the variants of these names, all when None, by the default toolchain when None.

    Raises:
        RunnerBuildError: there is no such ABI for phones, or no such variant of it.
    """
    if abi not in PHONE_ABIS:
        raise RunnerBuildError(
            f"no runner can be built for {abi}", remedy=f"choose {' or '.join(PHONE_ABIS)}"
        )
    known = {variant.name: variant for variant in variants(abi, engine)}
    if unknown := set(names or ()) - set(known):
        raise RunnerBuildError(
            f"{engine}'s runner for {abi} has no variant {unknown.pop()}",
            remedy=f"choose of {', '.join(known)}",
        )
    return [
        phone_recipe(
            abi, known[name], toolchain or default_toolchain(), accelerators, engine=engine
        )
        for name in names or known
    ]


def runners_folder() -> Path:
    """Where built runners are kept, each in a folder of its own."""
    return cache_root() / "runner"


def host_abi() -> str:
    """The Android ABI name of this machine.

    Raises:
        RunnerBuildError: the runner does not support this processor.
    """
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        return "x86_64"
    if machine in ("aarch64", "arm64"):
        return "arm64-v8a"
    raise RunnerBuildError(
        f"the runner does not support the processor {machine}",
        remedy="use an x86-64 or 64-bit ARM machine",
    )


def host_features() -> str:
    """What this processor has, as /proc/cpuinfo names it, with spaces between; may be empty.

    A part of a native runner's identity: a cache may be carried to another machine.
    """
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    line = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return line.partition(":")[2].strip()


def _source_files(engine: Engine) -> list[Path]:
    """What the engine's runner is built of; other engines' sources do not change it."""
    folders = [RUNNER_SOURCES / "src" / name for name in ("common", engine)]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [RUNNER_SOURCES / "CMakeLists.txt", *sorted(files)]
