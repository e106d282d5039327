"""What ExecuTorch's delegates need on a phone beside a program: libraries and environment.

Vendors' kits bring some libraries, ExecuTorch's build for Android others, the phone the rest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from exporters.errors import FwdllmError
from exporters.executorch.hexagon import HEXAGON_VERSIONS

_EXECUTORCH = "EXECUTORCH_ROOT"
_QUALCOMM = "QNN_SDK_ROOT"
_MEDIATEK = "NEUROPILOT_SDK_ROOT"


class DelegateMissingError(FwdllmError):
    """A library that a delegate needs on the phone is not on this machine."""


@dataclass(frozen=True)
class PhoneDelegate:
    """A delegate's part of an installation.

    Attributes:
        libraries: files of this machine to be placed on the phone, under their own names; they
            may lie in several folders there.
    """

    libraries: tuple[Path, ...] = ()
    # Of variables that name folders: the separator, and folders of the phone itself.
    _searched: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)

    def environment(self, placed: Sequence[PurePosixPath]) -> dict[str, str]:
        """Of the process that runs the programs.

        Args:
            placed: the paths on the phone of `libraries`.
        """
        folders = list(dict.fromkeys(str(path.parent) for path in placed))
        return {
            variable: separator.join([*folders, *of_phone])
            for variable, (separator, of_phone) in self._searched.items()
        }


def phone_delegate(backend: str, soc: str | None) -> PhoneDelegate:
    """What the programs of a bundle need on a phone.

    Args:
        backend, soc: of the bundle's manifest.

    Raises:
        DelegateMissingError: a kit or a library is not here, or the programs are not for phones;
            the message says what to install and which variable to set.
    """
    if backend in _NOT_FOR_PHONES:
        raise DelegateMissingError(
            f"{backend} programs run on {_NOT_FOR_PHONES[backend]}, not on phones",
            remedy="export the model for xnnpack, vulkan or the phone's own processor",
        )
    made = _DELEGATES.get(backend)
    return PhoneDelegate() if made is None else made(soc)


def _qnn(soc: str | None) -> PhoneDelegate:
    version = HEXAGON_VERSIONS.get(soc or "")
    if version is None:
        raise DelegateMissingError(
            f"there is no Qualcomm chip {soc!r} whose libraries are known",
            remedy=f"export the bundle with --soc, one of {', '.join(HEXAGON_VERSIONS)}",
        )
    kit = _folder(_QUALCOMM, "Qualcomm's AI Engine Direct SDK")
    return PhoneDelegate(
        (
            _library(kit, "lib/aarch64-android/libQnnHtp.so", _QUALCOMM),
            _library(kit, "lib/aarch64-android/libQnnSystem.so", _QUALCOMM),
            # The stub talks to the skeleton, which the tensor processor itself loads; both are
            # for one version of it.
            _library(kit, f"lib/aarch64-android/libQnnHtpV{version}Stub.so", _QUALCOMM),
            _library(kit, f"lib/hexagon-v{version}/unsigned/libQnnHtpV{version}Skel.so", _QUALCOMM),
            _of_executorch("libqnn_executorch_backend.so", "-DEXECUTORCH_BUILD_QNN=ON"),
        ),
        # /vendor/lib64 must stay out of LD_LIBRARY_PATH: its libQnn*.so are of another version.
        # The processor's loader separates folders by semicolons, and without these of the phone
        # finds no skeleton of the system any more.
        {
            "LD_LIBRARY_PATH": (":", ()),
            "ADSP_LIBRARY_PATH": (
                ";",
                ("/system/lib/rfsa/adsp", "/system/vendor/lib/rfsa/adsp", "/dsp"),
            ),
        },
    )


def _mediatek(soc: str | None) -> PhoneDelegate:
    kit = _folder(_MEDIATEK, "MediaTek's NeuroPilot Express SDK")
    return PhoneDelegate(
        (
            _library(kit, "libneuronusdk_adapter.mtk.so", _MEDIATEK),
            _library(kit, "libneuron_buffer_allocator.so", _MEDIATEK),
            _of_executorch("libneuron_backend.so", "-DEXECUTORCH_BUILD_NEURON=ON"),
        ),
        {"LD_LIBRARY_PATH": (":", ())},
    )


def _samsung(soc: str | None) -> PhoneDelegate:
    """The runner has the delegate in it; the phone has Samsung's libraries."""
    return PhoneDelegate((), {"LD_LIBRARY_PATH": (":", ("/vendor/lib64",))})


_DELEGATES: dict[str, Callable[[str | None], PhoneDelegate]] = {
    "qnn": _qnn,
    "mediatek": _mediatek,
    "samsung": _samsung,
}
_NOT_FOR_PHONES = {
    "openvino": "Intel's processors",
    "ethos-u": "microcontrollers with an Ethos-U",
}


def _folder(variable: str, what: str) -> Path:
    named = os.environ.get(variable)
    if not named:
        raise DelegateMissingError(
            f"{what} is needed for the phone's libraries, and {variable} is not set",
            remedy=f"unpack it and set {variable} to its folder",
        )
    folder = Path(named)
    if not folder.is_dir():
        raise DelegateMissingError(
            f"{variable} names no folder", remedy=f"set {variable} to that of {what}", file=folder
        )
    return folder


def _library(kit: Path, name: str, variable: str) -> Path:
    path = kit / name
    if not path.is_file():
        raise DelegateMissingError(
            f"{name} is not in the folder that {variable} names",
            remedy=f"unpack the whole kit, in a version that has it, and set {variable} to it",
            file=path,
        )
    return path


def _of_executorch(name: str, option: str) -> Path:
    remedy = (
        f"build ExecuTorch 1.4.1 for Android with {option} and set {_EXECUTORCH} to the folder "
        "that it is installed in"
    )
    named = os.environ.get(_EXECUTORCH)
    if not named:
        raise DelegateMissingError(
            f"{name} is needed, which ExecuTorch's build for Android makes, and {_EXECUTORCH} is "
            "not set",
            remedy=remedy,
        )
    path = Path(named) / "lib" / name
    if not path.is_file():
        raise DelegateMissingError(
            f"the ExecuTorch that {_EXECUTORCH} names was built without {name}",
            remedy=remedy,
            file=path,
        )
    return path
