"""The benchmark of the division prints what it promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "bench" / "allocation.py"


def test_one_json_object_with_a_small_gap_and_a_proof() -> None:
    arguments = ["--devices", "2000", "--probes", "2000000", "--repetitions", "1", "--json"]
    run = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=True
    )
    row = json.loads(run.stdout)
    assert (row["devices"], row["probes"]) == (2000, 2_000_000)
    assert row["seconds"] > 0
    assert 0 <= row["gap"] < 1e-3 and row["integer_gap"] == 0
    assert row["makespan"] >= row["lower_bound"] > 0


def test_no_devices_are_a_usage_error() -> None:
    run = subprocess.run(
        [sys.executable, str(SCRIPT), "--devices", "0"], capture_output=True, check=False
    )
    assert run.returncode == 2
