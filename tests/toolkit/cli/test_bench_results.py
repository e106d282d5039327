"""What is told of a device after a sweep."""

from __future__ import annotations

from pathlib import Path

from android_harness.errors import DeviceGoneError
from device_bench.plans.sweep_plan import arms_of
from device_bench.sweeps.sweep import run_sweep
from tests.device_bench.fake_timing_runner import FakeInstalledRunner
from toolkit.cli.bench_results import row_of
from toolkit.cli.fleet import Outcome


def test_damaged_samples_of_a_device_do_not_hide_why_it_failed(tmp_path: Path) -> None:
    run_sweep(FakeInstalledRunner(), arms_of([1], [16], [1], ["tangent"]), tmp_path, blocks=2)
    with (tmp_path / "samples.jsonl").open("a") as file:
        file.write("no measurement\n")
    why = "it is away " * 30

    row = row_of(Outcome("adb:x", error=DeviceGoneError(why, device="adb:x")), tmp_path, [tmp_path])

    assert row["error"] == why and row["remedy"]
    assert (row["finished"], row["jobs_in_all"]) == (False, None)
