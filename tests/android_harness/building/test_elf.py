"""ELF headers: of real programs, and of whatever else a file may hold."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from android_harness.building.elf import read_elf
from android_harness.building.recipe import host_abi

HEADER = Path(sys.executable).read_bytes()[:64]


def test_this_python_is_for_this_machine_and_names_its_loader() -> None:
    program = read_elf(Path(sys.executable))
    assert program is not None
    assert program.abi == host_abi()
    assert program.interpreter is not None
    assert Path(program.interpreter).exists()
    assert program.alignment is not None
    assert program.alignment >= 4096


def test_a_script_is_no_elf(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    assert read_elf(script) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.integers(0, 64))
def test_arbitrary_bytes_are_read_or_not(tmp_path: Path, content: bytes, real: int) -> None:
    """Also behind the beginning of a real header."""
    file = tmp_path / "file"
    file.write_bytes(HEADER[:real] + content)
    program = read_elf(file)
    assert program is None or program.abi


def test_a_header_that_is_cut_off_tells_the_processor(tmp_path: Path) -> None:
    whole = Path(sys.executable).read_bytes()
    cut = tmp_path / "cut"
    for size in range(20, 400):
        cut.write_bytes(whole[:size])
        program = read_elf(cut)
        assert program is not None
        assert program.abi == host_abi()
