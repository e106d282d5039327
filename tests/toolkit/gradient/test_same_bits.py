"""The server's decisions do not depend on the processor.

A second process is denied the vector instructions that this one uses; numpy and its BLAS then take
other code paths, as they would on another machine.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# The project itself, and the toy problem beside this folder.
_PATH = os.pathsep.join([str(HERE.parents[2]), str(HERE.parent)])


def fingerprints(**environment):
    process = subprocess.run(
        [sys.executable, str(HERE / "same_bits.py")],
        env={**os.environ, "PYTHONPATH": _PATH, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return process.stdout


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names features of x86-64 processors")
def test_less_capable_processors_come_to_the_same_bits():
    usual = fingerprints()
    assert len(usual.splitlines()) == 20
    plain = fingerprints(
        NPY_DISABLE_CPU_FEATURES="X86_V3 X86_V4 AVX512_ICL AVX512_SPR AVX2 FMA3 AVX512F",
        OPENBLAS_CORETYPE="Nehalem",
    )
    assert plain == usual
