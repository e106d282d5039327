"""Which libraries go to a phone with a delegate's programs, from made-up kits."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from android_harness.building.executorch_delegates import DelegateMissingError, phone_delegate

QUALCOMM = (
    "lib/aarch64-android/libQnnHtp.so",
    "lib/aarch64-android/libQnnSystem.so",
    "lib/aarch64-android/libQnnHtpV75Stub.so",
    "lib/hexagon-v75/unsigned/libQnnHtpV75Skel.so",
)
MEDIATEK = ("libneuronusdk_adapter.mtk.so", "libneuron_buffer_allocator.so")
BUILT = ("lib/libqnn_executorch_backend.so", "lib/libneuron_backend.so")


def tree(folder: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.fixture
def kits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable, name, files in (
        ("QNN_SDK_ROOT", "qnn", QUALCOMM),
        ("NEUROPILOT_SDK_ROOT", "neuropilot", MEDIATEK),
        ("EXECUTORCH_ROOT", "executorch", BUILT),
    ):
        monkeypatch.setenv(variable, str(tree(tmp_path / name, files)))
    return tmp_path


def test_libraries_for_a_snapdragon(kits: Path) -> None:
    delegate = phone_delegate("qnn", "SM8650")
    assert [str(path.relative_to(kits)) for path in delegate.libraries] == [
        *(f"qnn/{name}" for name in QUALCOMM),
        "executorch/lib/libqnn_executorch_backend.so",
    ]


def test_folders_for_both_loaders(kits: Path) -> None:
    """The phone's own of Qualcomm's libraries are of another version: not on LD_LIBRARY_PATH."""
    delegate = phone_delegate("qnn", "SM8650")
    placed = [PurePosixPath(f"/data/store/{path.name[:8]}/{path.name}") for path in QUALCOMM_PATHS]
    assert delegate.environment(placed) == {
        "LD_LIBRARY_PATH": "/data/store/libQnnHt:/data/store/libQnnSy",
        "ADSP_LIBRARY_PATH": "/data/store/libQnnHt;/data/store/libQnnSy;"
        "/system/lib/rfsa/adsp;/system/vendor/lib/rfsa/adsp;/dsp",
    }


QUALCOMM_PATHS = [PurePosixPath(name) for name in QUALCOMM]


def test_libraries_for_a_dimensity(kits: Path) -> None:
    delegate = phone_delegate("mediatek", "mt6989")
    assert [path.name for path in delegate.libraries] == [*MEDIATEK, "libneuron_backend.so"]
    assert delegate.environment([PurePosixPath("/d/x.so")]) == {"LD_LIBRARY_PATH": "/d"}


def test_an_exynos_brings_its_libraries() -> None:
    delegate = phone_delegate("samsung", "E9955")
    assert delegate.libraries == ()
    assert delegate.environment([]) == {"LD_LIBRARY_PATH": "/vendor/lib64"}


@pytest.mark.parametrize("backend", ["xnnpack", "vulkan"])
def test_others_need_nothing(backend: str) -> None:
    assert phone_delegate(backend, None).libraries == ()
    assert phone_delegate(backend, None).environment([]) == {}


@pytest.mark.parametrize(
    ("variable", "backend", "soc"),
    [
        ("QNN_SDK_ROOT", "qnn", "SM8650"),
        ("EXECUTORCH_ROOT", "qnn", "SM8650"),
        ("NEUROPILOT_SDK_ROOT", "mediatek", "mt6989"),
    ],
)
def test_kits_that_are_not_here(
    variable: str, backend: str, soc: str, kits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(variable)
    with pytest.raises(DelegateMissingError, match=f"{variable} is not set.*set {variable} to"):
        phone_delegate(backend, soc)


def test_a_kit_that_is_too_old_for_the_chip(kits: Path) -> None:
    with pytest.raises(DelegateMissingError, match=r"libQnnHtpV79Stub.so is not in.*QNN_SDK_ROOT"):
        phone_delegate("qnn", "SM8750")


def test_an_executorch_without_the_delegate(kits: Path) -> None:
    (kits / "executorch/lib/libneuron_backend.so").unlink()
    with pytest.raises(DelegateMissingError, match="EXECUTORCH_BUILD_NEURON"):
        phone_delegate("mediatek", "mt6989")


def test_a_folder_that_is_none(kits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QNN_SDK_ROOT", str(kits / "nowhere"))
    with pytest.raises(DelegateMissingError, match="QNN_SDK_ROOT names no folder"):
        phone_delegate("qnn", "SM8650")


def test_a_chip_that_is_not_known() -> None:
    with pytest.raises(DelegateMissingError, match=r"no Qualcomm chip 'SM1'.*SM8650"):
        phone_delegate("qnn", "SM1")


@pytest.mark.parametrize("backend", ["openvino", "ethos-u"])
def test_programs_that_are_not_for_phones(backend: str) -> None:
    with pytest.raises(DelegateMissingError, match="not on phones"):
        phone_delegate(backend, None)
