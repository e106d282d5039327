"""Where ExecuTorch's headers and libraries are: the installed wheel here, a build for Android.

The wheel has one shared library with the runtime, the operators and XNNPACK in it. It was made for
Python, so a program that links it brings libpython and libtorch along; it finds them by the paths
that are built into it, and runs on this machine alone. For phones ExecuTorch must have been built
from its sources.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sysconfig
from pathlib import Path

from android_harness.building.accelerators import RunnerBuildError

_INSTALLED_CONFIG = "lib/cmake/ExecuTorch/executorch-config.cmake"
_DEBIAN_PACKAGE = f"libpython{sysconfig.get_python_version()}"
_BUILD_FOR_ANDROID = (
    "build ExecuTorch 1.4.1 from its sources with the NDK (`cmake --preset android-arm64-v8a "
    "-DCMAKE_INSTALL_PREFIX=FOLDER`, then `cmake --build cmake-out --target install`) and set "
    "EXECUTORCH_ROOT to FOLDER"
)


class PythonLibraryError(RunnerBuildError):
    """This machine's Python cannot be linked to."""


def executorch_arguments(*, android: bool) -> list[str]:
    """CMake's arguments that find ExecuTorch; they also identify what is linked.

    Raises:
        RunnerBuildError: it is not there; the message says what to install or to build.
    """
    return _for_android() if android else _of_wheel()


def _of_wheel() -> list[str]:
    found = importlib.util.find_spec("executorch")
    folders = list(found.submodule_search_locations or ()) if found is not None else []
    if not folders:
        raise RunnerBuildError(
            "the package executorch is not installed", remedy="pip install executorch==1.4.1"
        )
    # It is a namespace package: any folder of that name on the path is a part of it.
    name = f"extension/pybindings/_portable_lib{sysconfig.get_config_var('EXT_SUFFIX')}"
    folder = next((each for each in map(Path, folders) if (each / name).is_file()), None)
    if folder is None:
        raise RunnerBuildError(
            "the installed executorch has no runtime library for this Python",
            remedy="pip install --force-reinstall executorch==1.4.1",
            file=Path(folders[0]) / name,
        )
    # Where the wheel has Qualcomm's backend, that library defines the runtime's core for all. The
    # kernels for quantized embeddings register themselves there when their library is loaded.
    core = folder / "backends" / "qualcomm" / "libqnn_executorch_backend.so"
    quantized = folder / "kernels" / "quantized" / "libquantized_ops_aot_lib.so"
    libraries = [folder / name, *(path for path in (core, quantized) if path.is_file())]
    return [
        f"-DEXECUTORCH_WHEEL={folder}",
        f"-DEXECUTORCH_VERSION={importlib.metadata.version('executorch')}",
        f"-DEXECUTORCH_LIBRARIES={';'.join(map(str, libraries))}",
        f"-DPYTHON_LIBRARY={_python_library()}",
    ]


def _python_library() -> Path:
    """libpython, which defines what the wheel's library takes from the interpreter."""
    name = sysconfig.get_config_var("INSTSONAME") or sysconfig.get_config_var("LDLIBRARY")
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    libdir = Path(sysconfig.get_config_var("LIBDIR"))
    candidates = [libdir / str(name), libdir / multiarch / str(name)]
    for path in candidates:
        if path.suffix != ".a" and path.is_file():
            return path
    raise PythonLibraryError(
        "this Python has no shared library, which the executorch wheel needs outside of Python",
        remedy=f"install it (Debian's package {_DEBIAN_PACKAGE}), or use a Python that was built "
        "with --enable-shared",
        file=candidates[0],
    )


def _for_android() -> list[str]:
    root = os.environ.get("EXECUTORCH_ROOT")
    if not root:
        raise RunnerBuildError(
            "a runner with ExecuTorch for phones needs ExecuTorch built for them",
            remedy=_BUILD_FOR_ANDROID,
        )
    config = Path(root) / _INSTALLED_CONFIG
    if not config.is_file():
        raise RunnerBuildError(
            "EXECUTORCH_ROOT is set, but holds no installed ExecuTorch",
            remedy=_BUILD_FOR_ANDROID,
            file=config,
        )
    return [f"-DEXECUTORCH_ROOT={root}"]
