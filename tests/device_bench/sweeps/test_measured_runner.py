"""The whole way on this machine: a real bundle, the native runner, samples, a profile."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from android_harness.job import NO_WARMUP, Warmup
from android_harness.runs.installed_runner import InstalledRunner, install_runner
from android_harness.targets.open_target import open_target
from device_bench.costs.setting import Setting
from device_bench.fitting.fit_profile import fit_profile
from device_bench.plans.sweep_plan import arms_of
from device_bench.profiles.profile import BackendProfile, Profile
from device_bench.sweeps.sweep import run_sweep
from exporters.gguf.export import export_gguf
from exporters.lora.request import LoraRequest
from exporters.manifest import Bundle, Quantization
from tests.exporters.models import random_llama

QUICK = Warmup(most_ms=600)
ARMS = arms_of([1, 2], [8, 32], [1, 2], ["central", "forward"])
EVERY_KIND = arms_of([1], [8], [1, 2], ["central", "forward", "tangent"], [None, (1, 1)])


def bundle_of(folder: Path, quantization: Quantization, *, parity_directions: int) -> Bundle:
    return export_gguf(
        str(random_llama(folder / "model")),
        folder / "bundle",
        quantization=quantization,
        lora=LoraRequest(rank=4, alpha=8.0),
        parity_directions=parity_directions,
    )


@pytest.fixture(scope="module")
def installed(
    runner_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[InstalledRunner]:
    bundle = bundle_of(tmp_path_factory.mktemp("bundle"), "q8_0", parity_directions=0)
    with open_target("local") as target:
        yield install_runner(target, bundle, runner=runner_binary)


def profiled(bundle: Bundle, runner: Path, folder: Path) -> BackendProfile:
    """A quick sweep of every kind of arm."""
    with open_target("local") as target:
        run_sweep(
            install_runner(target, bundle, runner=runner),
            EVERY_KIND,
            folder,
            warmup=NO_WARMUP,
            repetitions=1,
            minimum_ms=0,
            blocks=1,
        )
    (backend,) = fit_profile(folder, now=datetime.now(UTC)).backends
    return backend


def test_a_sweep_on_this_machine_becomes_a_profile(
    installed: InstalledRunner, tmp_path: Path
) -> None:
    sweep = run_sweep(installed, ARMS, tmp_path, warmup=QUICK, repetitions=2, blocks=3)
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
    predicted = backend.modelled_seconds(Setting(2, 16, "central", 2))
    assert predicted is not None and predicted > 0


def test_every_kind_of_arm_is_measured(runner_binary: Path, tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, "q8_0", parity_directions=0)
    backend = profiled(bundle, runner_binary, tmp_path / "samples")

    assert {(arm.estimator, arm.directions_per_pass, arm.layers) for arm in backend.arms} == {
        (arm.estimator, arm.directions_per_pass, arm.layers) for arm in EVERY_KIND
    }
    assert backend.cost is not None and backend.tangent_cost is not None
    assert backend.slope_errors == ()


@pytest.mark.parametrize(
    ("quantization", "tangent", "difference"),
    # Weights in float32 leave rounding alone to tangents, and to differences their step.
    [("f32", 1e-4, 2e-2), ("q8_0", 0.1, 0.5)],
)
def test_slope_errors_are_those_of_the_arithmetic(
    quantization: Quantization,
    tangent: float,
    difference: float,
    runner_binary: Path,
    tmp_path: Path,
) -> None:
    bundle = bundle_of(tmp_path, quantization, parity_directions=8)
    backend = profiled(bundle, runner_binary, tmp_path / "samples")

    errors = {error.estimator: error for error in backend.slope_errors}
    assert set(errors) == {"central", "forward", "tangent"}
    assert backend.numerics is not None and backend.numerics.loss_as_exported
    assert backend.numerics.loss_repeatability == 0
    assert all(each.usable for each in backend.numerics.estimators)
    assert 0 < errors["tangent"].relative_error < tangent
    assert errors["central"].relative_error < difference
    assert errors["tangent"].relative_error < errors["forward"].relative_error


def test_the_runner_reports_what_the_table_says(installed: InstalledRunner, tmp_path: Path) -> None:
    run_sweep(installed, ARMS, tmp_path, warmup=QUICK, repetitions=2, minimum_ms=0, blocks=1)

    table = pd.read_parquet(tmp_path / "samples.parquet")
    phases = table.groupby("phase").size()
    assert (phases["first"], phases["steady"]) == (len(ARMS), 2 * len(ARMS))
    assert phases["warmup"] >= 6 * len(ARMS)
    once = table[table["phase"] != "warmup"]
    assert (once["directions"] == once["directions_per_pass"]).all()
    assert (table[["pace_before_ns", "pace_after_ns"]] > 0).all(axis=None)
    assert (table["wall_ns"] > 0).all()
    # The device's monotonic clock goes on within a process.
    starts = table.groupby("position")["start_ns"]
    assert starts.is_monotonic_increasing.all()


def test_a_repetition_fills_its_minimum_with_whole_probes(
    installed: InstalledRunner, tmp_path: Path
) -> None:
    run_sweep(
        installed, ARMS[:1], tmp_path, warmup=NO_WARMUP, repetitions=2, minimum_ms=50, blocks=1
    )

    table = pd.read_parquet(tmp_path / "samples.parquet")
    first, table = (table[(table["phase"] == "first") == first] for first in (True, False))
    assert (first["directions"] == first["directions_per_pass"]).all()
    assert (table["wall_ns"] >= 50_000_000).all()
    assert (table["directions"] % table["directions_per_pass"] == 0).all()
    assert (table["passes"] >= table["directions"] / table["directions_per_pass"]).all()
