"""`fwdllm bench` and `fwdllm profile` on this machine: what is measured, and what people read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from android_harness.fake_phone import FakePhone
from android_harness.fake_phone.android_programs import android_programs
from android_harness.fake_phone.recording import Recording
from android_harness.state.held_settings import SETTINGS_NAME, HeldSettings
from android_harness.targets.open_target import open_target
from android_harness.telemetry.records import TELEMETRY_NAME, TelemetryBegin
from android_harness.telemetry.trace import read_records
from device_bench.fitting.fit_profile import fit_profile
from device_bench.profiles.profile import Profile
from device_bench.samples.provenance import Sweep
from device_bench.samples.samples_folder import read_measurements
from exporters.errors import FwdllmError
from exporters.gguf.export import export_gguf
from exporters.lora.request import LoraRequest
from exporters.manifest import Bundle
from tests.android_harness.state.android_devices import values_on
from tests.android_harness.waiting import ends_soon
from tests.exporters.models import random_llama
from toolkit.cli.app import app

QUICK = ("--batch", "1", "--tokens", "8", "--directions", "1,2")
QUICK += ("--blocks", "1", "--most-blocks", "1")
QUICK += ("--warmup-seconds", "0", "--repetitions", "1", "--minimum-ms", "0")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    folder = tmp_path_factory.mktemp("bundle")
    yield export_gguf(
        str(random_llama(folder / "model", num_hidden_layers=3)),
        folder / "bundle",
        quantization="f32",
        lora=LoraRequest(rank=2, layers="last:2"),
        parity_directions=2,
    )


def bench(bundle: Bundle, out: Path, *options: str) -> Any:
    return bench_on("local", bundle, out, *options)


def bench_on(target: str, bundle: Bundle, out: Path, *options: str) -> Any:
    arguments = ["bench", str(bundle.folder), "--target", target, "--out", str(out), *options]
    return CliRunner().invoke(app, arguments)


@pytest.mark.usefixtures("runner_binary")
def test_every_estimator_is_measured_unless_asked_otherwise(bundle: Bundle, tmp_path: Path) -> None:
    result = bench(bundle, tmp_path / "samples", *QUICK, "--layers", "all,last:1,1-2")

    assert result.exit_code == 0, result.output
    arms = Sweep.read(tmp_path / "samples" / "sweep.json").plan.arms
    assert {(arm.estimator, arm.layers) for arm in arms} == {
        (estimator, layers)
        for estimator in ("central", "forward", "tangent")
        for layers in (None, (2, 2), (1, 2))
    }
    rows = [line.split("│") for line in result.output.splitlines() if line.startswith("│")]
    shown = {row[1].strip(): [cell.strip() for cell in row[2:-1]] for row in rows}
    assert set(shown) == {"central", "forward", "tangent"}
    assert all("not measured" not in cells for cells in shown.values())
    # Both have three digits: seconds per probe, and per slope that is worth an exact one.
    for _, seconds, _, exact in shown.values():
        assert float(exact) >= float(seconds) > 0

    out = tmp_path / "profile.json"
    arguments = ["profile", str(tmp_path / "samples"), "--out", str(out)]
    profiled = CliRunner().invoke(app, arguments)
    assert profiled.exit_code == 0, profiled.output
    (backend,) = Profile.read(out).backends
    assert {error.estimator for error in backend.slope_errors} == set(shown)
    assert "tangent 1-2" in profiled.output and "tangent all" in profiled.output
    assert "s/exact slope" in profiled.output


@pytest.mark.usefixtures("runner_binary")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--layers", "last:4"), "do not exist in a model of 3 layers"),
        (("--layers", "top"), "cannot read the LoRA layers 'top'"),
        (("--layers", "0-0"), "no layer of 0-0 has LoRA"),
        (("--estimator", "central,all"), "estimator.1 = 'all'"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    bundle: Bundle, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    result = bench(bundle, tmp_path / "samples", *QUICK, *options)

    assert isinstance(result.exception, FwdllmError) and said in str(result.exception)
    assert not (tmp_path / "samples").exists()


@pytest.mark.usefixtures("runner_binary")
def test_a_phone_is_held_and_watched_while_it_is_measured(bundle: Bundle, tmp_path: Path) -> None:
    samples = tmp_path / "samples"
    with FakePhone(scripts=android_programs()) as phone, open_target(phone.target) as target:
        before = values_on(target)
        result = bench_on(phone.target, bundle, samples, *QUICK, "--idle-seconds", "0.5")
        assert result.exit_code == 0, result.output
        assert values_on(target) == before
        assert all(ends_soon(process) for process in phone.running_processes())

    held = {each.setting: each for each in HeldSettings.read(samples / SETTINGS_NAME).settings}
    assert (held["brightness"].before, held["brightness"].during) == ("102", "1")
    begin, *records = read_records(samples / TELEMETRY_NAME)
    assert isinstance(begin, TelemetryBegin)
    assert {"idle", "end"} <= {record.event for record in records}


@pytest.mark.usefixtures("runner_binary")
def test_nothing_is_touched_or_watched_where_that_is_asked_for(
    bundle: Bundle, tmp_path: Path
) -> None:
    samples = tmp_path / "samples"
    with FakePhone(scripts=android_programs()) as phone:
        options = ("--settings", "as-is", "--no-telemetry")
        result = bench_on(phone.target, bundle, samples, *QUICK, *options)

    assert result.exit_code == 0, result.output
    held = HeldSettings.read(samples / SETTINGS_NAME).settings
    assert {each.status for each in held} == {"as found"}
    assert not (samples / TELEMETRY_NAME).exists()


@pytest.mark.usefixtures("runner_binary")
def test_a_job_on_a_hot_phone_waits_and_is_marked_when_it_does_not_cool_down(
    bundle: Bundle, tmp_path: Path
) -> None:
    samples = tmp_path / "samples"
    answers = [
        f"Thermal Status: 0\nCurrent temperatures from HAL:\n"
        f"\tTemperature{{mValue={celsius}, mType=3, mName=skin, mStatus=0}}\n"
        for celsius in (30, 45, 44)
    ]
    scripts = Recording({}, {}, {"dumpsys thermalservice": answers}).scripts
    with FakePhone(scripts=scripts) as phone:
        options = ("--no-telemetry", "--cooldown-above", "35", "--cooldown-patience", "1")
        result = bench_on(phone.target, bundle, samples, *QUICK, "--estimator", "tangent", *options)

    assert result.exit_code == 0, result.output
    assert result.output.count("cooling down, waits for skin 45.0 °C to reach 35 °C") == 1
    first, second = read_measurements(samples / "samples.jsonl")
    assert first.conditions is not None and second.conditions is not None
    assert (first.conditions.gate, second.conditions.gate) == ("cool", "timed out")
    (backend,) = fit_profile(samples, now=datetime.now(UTC)).backends
    assert "began-hot" in backend.reasons


@pytest.mark.usefixtures("runner_binary")
def test_an_arm_runs_on_for_as_long_as_asked(bundle: Bundle, tmp_path: Path) -> None:
    samples = tmp_path / "samples"
    result = bench(
        bundle, samples, *QUICK, "--sustained-minutes", "0.1", "--sustained-arm", "1,8,2,tangent"
    )

    assert result.exit_code == 0, result.output
    assert "0.1 minutes on end" in result.output
    (backend,) = fit_profile(samples, now=datetime.now(UTC)).backends
    assert backend.sustained is not None and backend.sustained.seconds >= 6
    assert backend.sustained_factor == backend.sustained.factor


@pytest.mark.parametrize("text", ["cold", "0", "-5", "nan", "300", ""])
def test_a_temperature_that_is_none_is_a_usage_error(
    bundle: Bundle, tmp_path: Path, text: str
) -> None:
    result = bench(bundle, tmp_path / "samples", *QUICK, "--cooldown-above", text)

    assert result.exit_code == 2 and "degrees Celsius or off" in result.output
