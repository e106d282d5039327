"""Backends of ggml beside the CPU's: what building them takes, and which devices are theirs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args

from exporters.errors import FwdllmError

Accelerator = Literal["vulkan", "opencl", "hexagon"]
ACCELERATORS: tuple[Accelerator, ...] = get_args(Accelerator)


class RunnerBuildError(FwdllmError):
    """The native runner cannot be built here; the message has the end of the failing output."""


def accelerator_of(device: str | None) -> Accelerator | None:
    """The accelerator that a device of this name needs; None: the CPU alone.

    Devices are named as ggml names them (Vulkan0, GPUOpenCL, HTP0), or by the accelerator.

    Raises:
        FwdllmError: no accelerator has such a device.
    """
    name = "cpu" if device is None else device.lower().rstrip("0123456789")
    if name == "cpu":
        return None
    for accelerator in ACCELERATORS:
        if accelerator in name or (accelerator == "hexagon" and name == "htp"):
            return accelerator
    raise FwdllmError(
        f"no device is called {device}",
        remedy=f"choose cpu, {', '.join(ACCELERATORS)}, or one of their devices such as Vulkan0",
    )


def cmake_arguments(accelerators: Sequence[Accelerator], *, android: bool) -> list[str]:
    """What CMake is told to compile them into the runner.

    Raises:
        RunnerBuildError: an SDK is not there; the message says which and where it is looked for.
    """
    return [argument for each in accelerators for argument in _ARGUMENTS[each](android)]


def _vulkan(android: bool) -> list[str]:
    if shutil.which("glslc") is None:
        raise RunnerBuildError(
            "the Vulkan backend needs glslc to compile its shaders",
            remedy="install the Vulkan SDK, or Debian's glslc, libvulkan-dev and spirv-headers",
        )
    arguments = ["-DGGML_VULKAN=ON"]
    if android:
        # The NDK has Vulkan's C headers and library, but not the C++ and SPIR-V headers.
        sdk = _sdk("VULKAN_SDK", "the Vulkan SDK, whose headers the NDK lacks")
        arguments += [
            f"-DVulkan_INCLUDE_DIR={sdk / 'include'}",
            f"-DSPIRV-Headers_DIR={sdk / 'share' / 'cmake' / 'SPIRV-Headers'}",
        ]
    return arguments


def _opencl(android: bool) -> list[str]:
    arguments = ["-DGGML_OPENCL=ON"]
    if android:
        # Phones bring the library; to link, its loader must have been built for them.
        sdk = _sdk("OPENCL_SDK", "OpenCL's headers (include) and loader for Android (lib)")
        arguments += [
            f"-DOpenCL_INCLUDE_DIR={sdk / 'include'}",
            f"-DOpenCL_LIBRARY={sdk / 'lib' / 'libOpenCL.so'}",
        ]
    return arguments


def _hexagon(android: bool) -> list[str]:
    if not android:
        raise RunnerBuildError(
            "the Hexagon backend runs on phones alone", remedy="build it with --abi arm64-v8a"
        )
    sdk = _sdk("HEXAGON_SDK_ROOT", "Qualcomm's Hexagon SDK")
    tools = _sdk("HEXAGON_TOOLS_ROOT", "the tools of the Hexagon SDK")
    return ["-DGGML_HEXAGON=ON", f"-DHEXAGON_SDK_ROOT={sdk}", f"-DHEXAGON_TOOLS_ROOT={tools}"]


_ARGUMENTS: dict[Accelerator, Callable[[bool], list[str]]] = {
    "vulkan": _vulkan,
    "opencl": _opencl,
    "hexagon": _hexagon,
}


def _sdk(variable: str, what: str) -> Path:
    folder = os.environ.get(variable)
    if folder is None or not Path(folder).is_dir():
        raise RunnerBuildError(
            f"{what} is not here",
            remedy=f"install it and set {variable} to its folder",
            file=Path(folder) if folder else None,
        )
    return Path(folder)
