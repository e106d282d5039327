"""A small soak: runs over phones on which everything goes wrong are each done once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "bench" / "soak.py"


@pytest.mark.usefixtures("runner_binary")
def test_a_small_soak_keeps_all_its_claims() -> None:
    arguments = ["--runs", "12", "--phones", "3", "--seed", "5", "--pause-s", "0.3", "--json"]
    run = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False
    )
    found = json.loads(run.stdout)
    assert found["broken"] == [] and run.returncode == 0, found
    assert found["results"] == 12 and sum(found["faults"].values()) > 3


def test_no_phones_are_a_usage_error() -> None:
    run = subprocess.run(
        [sys.executable, str(SCRIPT), "--phones", "0"], capture_output=True, check=False
    )
    assert run.returncode == 2
