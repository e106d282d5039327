"""`fwdllm exchange`: files to and from other projects."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from tests.toolkit.exchange.test_llama_bench import test as llama_test
from tests.toolkit.made_profiles import profile
from toolkit.allocation.contract import Allocation
from toolkit.cli.app import app


def exchange(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["exchange", *(str(argument) for argument in arguments)])


def test_llama_benchs_results_are_imported_allocated_and_exported(tmp_path: Path) -> None:
    results, imported = tmp_path / "bench.json", tmp_path / "lab.json"
    results.write_text(
        json.dumps([llama_test(64, test_time=datetime.now(UTC).isoformat()), llama_test(512)])
    )
    result = exchange("llama-bench", results, "--target", "lab", "--out", imported)
    assert result.exit_code == 0, result.output
    assert "suspect (imported)" in result.stdout
    assert "measured on Snapdragon 8 Gen 3" in " ".join(result.stdout.split())

    allocation = tmp_path / "allocation.json"
    divided = ["allocate", str(imported), "--probes", "10", "--out", str(allocation)]
    assert CliRunner().invoke(app, divided).exit_code == 0
    (device,) = Allocation.read(allocation).devices
    assert "suspect profile: imported" in device.warnings

    table = tmp_path / "capacity"
    speeds = ("--tokens", 64, "--kbit-per-s", 1000)
    assert exchange("fedscale", imported, "--out", table, *speeds).exit_code == 0
    assert set(pickle.loads(table.read_bytes())) == {0}


def test_records_are_written_by_target(tmp_path: Path) -> None:
    made = tmp_path / "profile.json"
    profile("adb:A").write(made)
    out = tmp_path / "records.json"

    assert exchange("flower", made, "--out", out).exit_code == 0
    assert json.loads(out.read_text())["adb:A"]["ggml-cpu.verdict"] == "valid"


def test_a_network_speed_that_is_none_is_refused(tmp_path: Path) -> None:
    made = tmp_path / "profile.json"
    profile("adb:A").write(made)
    arguments = ("fedscale", made, "--out", tmp_path / "x", "--tokens", 8, "--kbit-per-s", 10)
    for text in ("adb:A", "adb:A=", "adb:A=fast", "=5", "adb:A=-1"):
        assert exchange(*arguments, "--kbit-per-s-of", text).exit_code == 2
