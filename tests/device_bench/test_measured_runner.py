"""The whole way on this machine: a real bundle, the native runner, samples, a profile."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from android_harness.installed_runner import InstalledRunner, install_runner
from android_harness.open_target import open_target
from device_bench.fit_profile import fit_profile
from device_bench.profile import Profile
from device_bench.sweep import arms_of, run_sweep
from exporters.gguf.export import export_gguf
from exporters.lora.request import LoraRequest
from tests.exporters.models import random_llama

ARMS = arms_of([1, 2], [8, 32], [1, 2], ["central", "forward"])


@pytest.fixture(scope="module")
def installed(
    runner_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[InstalledRunner]:
    folder = tmp_path_factory.mktemp("bundle")
    bundle = export_gguf(
        str(random_llama(folder / "model")),
        folder / "bundle",
        quantization="q8_0",
        lora=LoraRequest(rank=4, alpha=8.0),
        parity_directions=0,
    )
    with open_target("local") as target:
        yield install_runner(target, bundle, runner=runner_binary)


def test_a_sweep_on_this_machine_becomes_a_profile(
    installed: InstalledRunner, tmp_path: Path
) -> None:
    sweep = run_sweep(installed, ARMS, tmp_path, threads=1, warmup=1, repetitions=2, blocks=3)
    profile = fit_profile(tmp_path, now=datetime.now(UTC))
    profile.write(tmp_path / "profile.json")

    assert Profile.read(tmp_path / "profile.json") == profile
    assert (profile.target, profile.device) == ("local", installed.facts)
    assert profile.bundle_sha256 == installed.bundle.sha256
    assert profile.runner_sha256 == installed.runner_sha256
    assert sweep.hello is not None and sweep.hello.architecture

    (backend,) = profile.backends
    assert backend.backend == "ggml-cpu"
    assert len(backend.arms) == len(ARMS)
    for arm in backend.arms:
        assert arm.repetitions == 6 and arm.threads == 1
        seconds = arm.seconds_per_probe
        assert 0 < seconds.low <= seconds.value <= seconds.high
        assert arm.peak_memory_bytes > installed.bundle.base.stat().st_size
    # How long it takes is this machine's affair; that other settings can be predicted is ours.
    predicted = backend.cost.probe_seconds(batch=2, tokens=16, directions=2, estimator="central")
    assert predicted > 0


def test_the_runner_reports_what_the_table_says(installed: InstalledRunner, tmp_path: Path) -> None:
    run_sweep(installed, ARMS, tmp_path, threads=1, warmup=1, repetitions=1, minimum_ms=0, blocks=1)

    table = pd.read_parquet(tmp_path / "samples.parquet")
    assert len(table) == 2 * len(ARMS)
    assert (table["directions"] == table["directions_per_pass"]).all()
    assert (table["wall_ns"] > 0).all()
    # The device's monotonic clock goes on within a process.
    starts = table.groupby("position")["start_ns"]
    assert starts.is_monotonic_increasing.all()


def test_a_repetition_fills_its_minimum_with_whole_probes(
    installed: InstalledRunner, tmp_path: Path
) -> None:
    run_sweep(
        installed, ARMS[:1], tmp_path, threads=1, warmup=0, repetitions=2, minimum_ms=50, blocks=1
    )

    table = pd.read_parquet(tmp_path / "samples.parquet")
    assert (table["wall_ns"] >= 50_000_000).all()
    assert (table["directions"] % table["directions_per_pass"] == 0).all()
    assert (table["passes"] >= table["directions"] / table["directions_per_pass"]).all()
