"""What keeps a program from being compiled is told before a model is read, with the remedy."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import executorch.exir
import pytest

from exporters.errors import ExportError
from exporters.executorch.backends.needs import need_kit, need_packages
from exporters.executorch.backends.registry import BACKENDS, backend_named
from exporters.executorch.export import export_executorch
from exporters.executorch.hexagon import HEXAGON_VERSIONS
from exporters.executorch.sizes import ProgramRequest
from exporters.lora.request import LoraRequest

KIT_FILES = {
    "QNN_SDK_ROOT": "lib/x86_64-linux-clang/libQnnSystem.so",
    "EXYNOS_AI_LITECORE_ROOT": "lib/x86_64-linux/libgraphgen_api.so",
}


def test_chips_are_asked_for_and_checked() -> None:
    with pytest.raises(ExportError, match=r"qnn needs to know the chip.*--soc.*SM8650"):
        backend_named("qnn")
    with pytest.raises(ExportError, match=r"ethos-u does not compile for SM8650.*ethos-u85-1024"):
        backend_named("ethos-u", "SM8650")
    with pytest.raises(ExportError, match=r"xnnpack programs are not compiled for a chip"):
        backend_named("xnnpack", "SM8650")


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda each: each.name)
def test_every_backend_can_be_named(backend: type) -> None:
    soc = backend.socs[0] if backend.socs else None  # type: ignore[attr-defined]
    made = backend_named(backend.name, soc)  # type: ignore[attr-defined]
    assert isinstance(made, backend) and made.quantizations and made.soc == soc


def test_hexagons_without_floating_point_are_not_asked_for_it() -> None:
    assert "f16" in backend_named("qnn", "SM8450").quantizations
    assert "f16" not in backend_named("qnn", "SM8350").quantizations


def test_chips_and_versions_are_those_of_executorch() -> None:
    """Read from its file: importing the package would look for Qualcomm's kit."""
    wheel = Path(executorch.exir.__file__).parents[1]
    path = wheel / "backends/qualcomm/serialization/qc_schema.py"
    spec = importlib.util.spec_from_file_location("qc_schema", path)
    assert spec is not None and spec.loader is not None
    schema = importlib.util.module_from_spec(spec)
    sys.modules["qc_schema"] = schema
    spec.loader.exec_module(schema)
    theirs = {
        chip.name: int(info.htp_info.htp_arch) for chip, info in schema._soc_info_table.items()
    }
    assert theirs == HEXAGON_VERSIONS


@pytest.mark.parametrize(
    ("backend", "soc", "variable", "kit"),
    [
        ("qnn", "SM8650", "QNN_SDK_ROOT", "AI Engine Direct"),
        ("samsung", "E9955", "EXYNOS_AI_LITECORE_ROOT", "LiteCore"),
    ],
)
def test_a_kit_that_is_not_here(
    backend: str,
    soc: str,
    variable: str,
    kit: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = backend_named(backend, soc)
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ExportError, match=f"{kit}.*{variable} is not set.*set {variable} to its"):
        target.check()
    monkeypatch.setenv(variable, str(tmp_path / "nowhere"))
    with pytest.raises(ExportError, match=f"{variable} names no folder.*nowhere"):
        target.check()
    first = tmp_path / "lib/x86_64-linux-clang/libQnnHtp.so"
    first.parent.mkdir(parents=True)
    first.touch()
    monkeypatch.setenv(variable, str(tmp_path))
    with pytest.raises(ExportError, match=f"incomplete: {KIT_FILES[variable]} is missing"):
        target.check()


def test_an_executorch_without_samsungs_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / KIT_FILES["EXYNOS_AI_LITECORE_ROOT"]
    library.parent.mkdir(parents=True)
    library.touch()
    monkeypatch.setenv("EXYNOS_AI_LITECORE_ROOT", str(tmp_path))
    with pytest.raises(ExportError, match=r"PyEnnWrapperAdaptor.*build ExecuTorch"):
        backend_named("samsung", "E9955").check()


def test_mediateks_wheels_are_asked_for() -> None:
    with pytest.raises(ExportError, match=r"mtk_converter, mtk_neuron.*NeuroPilot Express SDK"):
        backend_named("mediatek", "mt6989").check()


def test_packages_of_the_extra_are_named() -> None:
    with pytest.raises(ExportError, match=r"no_such_module.*fwdllm-toolkit\[npu\]"):
        need_packages("openvino", ["json", "no_such_module"])
    need_packages("openvino", ["json"])


def test_a_whole_kit_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.so").touch()
    monkeypatch.setenv("SOME_KIT", str(tmp_path))
    assert need_kit("SOME_KIT", "the kit", "somewhere", ["a.so"]) == tmp_path


def test_an_export_is_refused_before_the_model_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QNN_SDK_ROOT", raising=False)
    with pytest.raises(ExportError, match="QNN_SDK_ROOT is not set"):
        export_executorch(
            "no-such-model",
            tmp_path / "b",
            lora=LoraRequest(),
            programs=ProgramRequest(),
            backend="qnn",
            soc="SM8650",
        )
