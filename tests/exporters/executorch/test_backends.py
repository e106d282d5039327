"""Backends beside the default one."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporters.errors import ExportError
from exporters.executorch.backends.registry import backend_named
from exporters.executorch.export import export_executorch
from exporters.executorch.sizes import ProgramRequest
from tests.exporters.executorch.conftest import LORA


def test_vulkan_programs_are_made_but_not_run(model_folder: Path, tmp_path: Path) -> None:
    bundle = export_executorch(
        str(model_folder),
        tmp_path / "bundle",
        lora=LORA,
        programs=ProgramRequest(((1, 4),), kinds=("loss",), loss_slots=(1,)),
        backend="vulkan",
        quantization="f32",
        parity_directions=0,
    )
    (program,) = bundle.manifest.programs
    assert bundle.manifest.backend == program.delegation.backend == "vulkan"
    assert bundle.manifest.parity is None
    assert program.delegation.portable == {"log": 1}
    sizes = [(bundle.folder / file).stat().st_size for file in ("weights.ptd", "program.pte")]
    assert sizes[0] > sizes[1]


def test_an_unknown_backend_is_refused_by_name() -> None:
    with pytest.raises(ExportError, match=r"'abacus'.*xnnpack, vulkan"):
        backend_named("abacus")
