"""Measuring a sweep: order, provenance, resuming, faults."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from android_harness.errors import IncompleteRunError
from android_harness.job import Warmup
from android_harness.runs.supervised_command import is_run_name
from device_bench.errors import SamplesError, SweepMismatchError, SweepSettingsError
from device_bench.plans.sweep_plan import arms_of
from device_bench.samples.provenance import Sweep
from device_bench.samples.samples_folder import read_measurements
from device_bench.samples.time_left import TimeLeft
from device_bench.sweeps.sweep import run_sweep
from exporters.errors import ContractError
from tests.device_bench.fake_timing_runner import (
    ADAPTED_LAYERS,
    HIDDEN_SIZE,
    FakeInstalledRunner,
    known_peak_bytes,
)

ARMS = arms_of([1, 4], [16, 64], [1, 8], ["central", "forward", "tangent"])
JOBS = 6 * len(ARMS)


def measure(runner: FakeInstalledRunner, folder: Path, **settings: object) -> Sweep:
    return run_sweep(runner, **{"arms": ARMS, "out_folder": folder, **settings})


def test_every_arm_is_measured_in_every_block_in_the_recorded_order(tmp_path: Path) -> None:
    runner = FakeInstalledRunner()

    sweep = measure(runner, tmp_path)

    measurements = read_measurements(tmp_path / "samples.jsonl")
    assert len(runner.jobs) == len(measurements) == JOBS
    assert tuple(measurement.slot for measurement in measurements) == sweep.order
    assert [measurement.position for measurement in measurements] == list(range(JOBS))
    for measurement, job in zip(measurements, runner.jobs, strict=True):
        (task,) = job.tasks
        assert measurement.arm == ARMS[measurement.slot.arm]
        assert len(task.batch) == measurement.arm.batch
        assert task.directions_per_pass == measurement.arm.directions_per_pass
        assert task.estimator == measurement.arm.estimator
        assert len(measurement.steady_seconds) == 3


def test_the_provenance_names_device_bundle_runner_and_times(tmp_path: Path) -> None:
    runner = FakeInstalledRunner()

    returned = measure(runner, tmp_path, seed=5)

    sweep = Sweep.read(tmp_path / "sweep.json")
    assert sweep == returned
    assert (sweep.target, sweep.device) == ("adb:FAKE", runner.facts)
    assert (sweep.bundle_sha256, sweep.runner_sha256) == ("a" * 64, "b" * 64)
    assert sweep.hello is not None and sweep.hello.architecture == "aarch64"
    assert (sweep.plan.arms, sweep.plan.seed, sweep.plan.loss_positions) == (ARMS, 5, "last")
    assert sweep.finished_at is not None and sweep.started_at <= sweep.finished_at


def test_the_table_holds_every_sample(tmp_path: Path) -> None:
    measure(FakeInstalledRunner(), tmp_path, warmup=Warmup(least=7))

    table = pd.read_parquet(tmp_path / "samples.parquet")
    phases = table.groupby("phase").size()
    assert dict(phases) == {"first": JOBS, "warmup": 7 * JOBS, "steady": 3 * JOBS}
    assert table["warmup_settled"].all()
    expected = table["wall_ns"] / table["directions"] / 1e9
    assert (table["seconds_per_probe"] == expected).all()
    # Each arm runs in a process of its own, so its peak is not another arm's.
    for arm in ARMS:
        rows = table[
            (table["batch"] == arm.batch)
            & (table["tokens"] == arm.tokens)
            & (table["directions_per_pass"] == arm.directions_per_pass)
            & (table["estimator"] == arm.estimator)
        ]
        assert (rows["vm_hwm_bytes"] == known_peak_bytes(arm.setting)).all()
    assert {str(table[name].dtype) for name in ("wall_ns", "block", "passes")} == {"int64"}


def test_a_sweep_goes_on_where_the_device_went_away(tmp_path: Path) -> None:
    with pytest.raises(IncompleteRunError):
        measure(FakeInstalledRunner(drop_out_at=10), tmp_path)
    interrupted = Sweep.read(tmp_path / "sweep.json")
    before = (tmp_path / "samples.jsonl").read_text()
    runner = FakeInstalledRunner()

    resumed = measure(runner, tmp_path)

    assert interrupted.finished_at is None
    assert resumed.finished_at is not None and resumed.started_at == interrupted.started_at
    assert len(runner.jobs) == JOBS - 10
    assert (tmp_path / "samples.jsonl").read_text().startswith(before)
    measurements = read_measurements(tmp_path / "samples.jsonl")
    assert tuple(measurement.slot for measurement in measurements) == resumed.order


def test_a_job_has_the_same_name_in_whichever_process_it_is_measured(tmp_path: Path) -> None:
    before, after, other = FakeInstalledRunner(drop_out_at=4), FakeInstalledRunner(), tmp_path / "b"
    with pytest.raises(IncompleteRunError):
        measure(before, tmp_path / "a")
    measure(after, tmp_path / "a")

    assert after.names[0] == before.names[-1]
    assert len({*before.names, *after.names}) == JOBS
    assert all(is_run_name(name) for name in after.names if name is not None)
    measure(another := FakeInstalledRunner(), other)
    assert not set(another.names) & {None, *before.names, *after.names}


@pytest.mark.parametrize("cut", [1, 40])
def test_a_torn_last_line_is_measured_again(tmp_path: Path, cut: int) -> None:
    with pytest.raises(IncompleteRunError):
        measure(FakeInstalledRunner(drop_out_at=5), tmp_path)
    samples = tmp_path / "samples.jsonl"
    samples.write_bytes(samples.read_bytes()[:-cut])
    runner = FakeInstalledRunner()

    sweep = measure(runner, tmp_path)

    assert len(runner.jobs) == JOBS - 4
    assert tuple(m.slot for m in read_measurements(samples)) == sweep.order


def test_a_finished_sweep_is_not_measured_again(tmp_path: Path) -> None:
    first = measure(FakeInstalledRunner(), tmp_path)
    runner = FakeInstalledRunner()

    assert measure(runner, tmp_path) == first
    assert runner.jobs == []


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"blocks": 2}, "blocks"),
        ({"arms": ARMS[:3]}, "arms"),
        ({"repetitions": 4}, "repetitions"),
        ({"seed": 1}, "seed"),
    ],
)
def test_a_folder_of_another_sweep_is_refused(tmp_path: Path, settings: dict, named: str) -> None:
    measure(FakeInstalledRunner(), tmp_path)

    with pytest.raises(SweepMismatchError, match=named):
        measure(FakeInstalledRunner(), tmp_path, **settings)


def test_a_folder_measured_by_another_runner_is_refused(tmp_path: Path) -> None:
    measure(FakeInstalledRunner(), tmp_path)

    with pytest.raises(SweepMismatchError, match="runner_sha256"):
        measure(FakeInstalledRunner(runner_sha256="d" * 64), tmp_path)


def test_damage_before_the_last_line_is_an_error(tmp_path: Path) -> None:
    measure(FakeInstalledRunner(), tmp_path)
    samples = tmp_path / "samples.jsonl"
    lines = samples.read_text().splitlines(keepends=True)
    samples.write_text("".join([lines[0], "{}\n", *lines[2:]]))

    with pytest.raises(SamplesError, match="line 2"):
        measure(FakeInstalledRunner(), tmp_path)


def test_nothing_is_written_for_settings_that_do_not_fit_the_model(tmp_path: Path) -> None:
    folder = tmp_path / "samples"

    with pytest.raises(SweepSettingsError, match="context"):
        measure(FakeInstalledRunner(), folder, arms=arms_of([1], [257], [1], ["central"]))

    assert not folder.exists()


def test_a_range_of_layers_moves_alone_above_kept_states(tmp_path: Path) -> None:
    arms = arms_of([1, 4], [16], [8], ["tangent"], [None, (4, 5)])
    runner = FakeInstalledRunner()

    measure(runner, tmp_path, arms=arms)

    for measurement, job in zip(
        read_measurements(tmp_path / "samples.jsonl"), runner.jobs, strict=True
    ):
        arm = measurement.arm
        assert job.tasks[0].support.layers == arm.layers
        if arm.layers is None:
            assert job.prefix is None
        else:
            # Two bytes for each number of the state after each token of the batch.
            assert job.prefix is not None and job.prefix.precision == "float16"
            assert job.prefix.bytes == 2 * arm.batch * arm.tokens * HIDDEN_SIZE
    table = pd.read_parquet(tmp_path / "samples.parquet")
    assert set(table["layers"]) == {"all", "4-5"}


def test_layers_without_lora_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "samples"
    below = (0, ADAPTED_LAYERS[0] - 1)

    with pytest.raises(SweepSettingsError, match="no layer of 0-1 has LoRA"):
        measure(
            FakeInstalledRunner(), folder, arms=arms_of([1], [16], [1], ["central"], [None, below])
        )

    assert not folder.exists()


def test_a_sweep_of_an_older_version_is_not_taken_up(tmp_path: Path) -> None:
    measure(FakeInstalledRunner(), tmp_path)
    description = tmp_path / "sweep.json"
    text = description.read_text()
    description.write_text(text.replace('"schema_version": 2', '"schema_version": 1', 1))

    with pytest.raises(ContractError, match="schema version 1, this fwdllm reads") as caught:
        measure(FakeInstalledRunner(), tmp_path)

    assert caught.value.remedy == "measure again into another folder"


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "samples"
    path.write_text("")

    with pytest.raises(SamplesError, match="folder"):
        measure(FakeInstalledRunner(), path)


def test_a_run_with_too_few_samples_is_no_measurement(tmp_path: Path) -> None:
    class ForgetfulRunner(FakeInstalledRunner):
        def run(self, **job: object) -> list:
            return [record for record in super().run(**job) if record.event != "sample"]

    with pytest.raises(IncompleteRunError, match="0 of 3 samples"):
        measure(ForgetfulRunner(), tmp_path)

    assert read_measurements(tmp_path / "samples.jsonl") == []


def test_progress_counts_finished_jobs(tmp_path: Path) -> None:
    calls: list[tuple[str, int, TimeLeft]] = []

    measure(
        FakeInstalledRunner(),
        tmp_path,
        on_progress=lambda *call: calls.append(call),
    )

    jobs = [call for call in calls if "numeric gate" not in call[0]]
    assert [done for _, done, _ in jobs] == list(range(JOBS + 1))
    assert {done + left.jobs[0] for _, done, left in calls} == {JOBS}
    assert calls[0][0].startswith("numeric gate") and calls[0][1] == 0
    # Before anything is timed nothing tells how long it takes.
    assert jobs[0][2].seconds is None and jobs[-1][2].seconds == (0, 0)
    assert all(left.seconds is not None for _, _, left in jobs[1:])
    assert "tokens" in jobs[0][0]


def test_ggml_has_no_operators_to_profile(tmp_path: Path) -> None:
    runner = FakeInstalledRunner()
    with pytest.raises(SweepSettingsError, match="ggml does not tell") as caught:
        measure(runner, tmp_path, profile_operators=True)
    assert "--profile-ops" in caught.value.remedy
    assert runner.jobs == []


def test_samples_without_their_description_are_not_taken_up(tmp_path: Path) -> None:
    run_sweep(FakeInstalledRunner(), ARMS, tmp_path, blocks=1)
    (tmp_path / "sweep.json").unlink()

    with pytest.raises(SweepMismatchError, match="not described"):
        run_sweep(FakeInstalledRunner(), ARMS[:1], tmp_path, blocks=1)

    assert not (tmp_path / "sweep.json").exists()
