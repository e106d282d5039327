"""Training over devices that probe in memory: results, logs, faults, continuation."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from torch_device import TorchDevice

from android_harness.errors import DeviceError
from android_harness.job import VerbalizerLoss
from android_harness.records import ProbeRecord
from exporters.gguf.adapter import read_adapter_values
from toolkit.data.classification import classification_examples
from toolkit.data.partition_users import UserPartition
from toolkit.data.prompts import DEFAULT_TEMPLATE, Prompt
from toolkit.data.table import read_rows
from toolkit.data.verbalizer import make_verbalizer
from toolkit.errors import AllClientsFailedError, TrainingError
from toolkit.privacy.slope_noise import SlopeNoise
from toolkit.protocol.exact import values_sha256
from toolkit.robust.admission import AdmissionRules
from toolkit.server_update.sgd import SgdStep
from toolkit.training.contract import TrainingConfig
from toolkit.training.privacy_spent import privacy_spent
from toolkit.training.replay import replay
from toolkit.training.run_folder import RunFolder
from toolkit.training.train import TrainingData, train

WORDS = {"sports": "Sports", "business": "Business"}


class Killed(BaseException):
    """Ends the process as far as the code under test can tell."""


@pytest.fixture
def task(table, tokenizer):
    """(data, loss) of the two topics."""
    rows = read_rows(table, text_columns=["title", "text"], label_column="label")
    prompt = Prompt(DEFAULT_TEMPLATE, tokenizer)
    verbalizer = make_verbalizer(rows.labels, prompt, tokenizer, WORDS)
    examples = classification_examples(rows, prompt, verbalizer, max_tokens=24)
    loss = VerbalizerLoss(tokens=tuple(verbalizer.tokens.values()))
    return TrainingData(examples[:40], rows.take(range(40)), examples[40:]), loss


@pytest.fixture
def devices(bundle):
    return [TorchDevice("one", bundle), TorchDevice("two", bundle)]


@pytest.fixture
def run(task, bundle, devices, tmp_path):
    """Trains a few short rounds; keywords change the configuration."""
    data, loss = task

    def start(*, out="run", allocation=None, on_round=None, fleet=None, given=data, **settings):
        settings = {"rounds": 4, "probes": 6, "batch": 4, "evaluate_every": 2} | settings
        return train(
            fleet or devices,
            bundle=bundle,
            data=given,
            config=TrainingConfig(loss=loss, **settings),
            out=tmp_path / out,
            allocation=allocation,
            on_round=on_round,
        )

    return start


def test_the_loss_goes_down_and_the_classes_are_learnt(run):
    result = run(rounds=25, probes=24, batch=8, evaluate_every=25)
    start, end = result.rounds[0].evaluation, result.rounds[-1].evaluation
    assert end.loss < 0.5 * start.loss
    assert end.accuracy == 1.0


def test_each_device_knows_of_its_own_label_shares_alone(run, task, devices):
    """Where one device has one label each, hardly anything is left for it to learn."""
    data, _ = task
    by_label = replace(data.rows, users=data.rows.labels)
    divided = replace(data, partition=UserPartition(column="label"), rows=by_label)
    plain = run(given=divided, out="plain", rounds=1)
    knowing = run(given=divided, out="knowing", rounds=1, label_prior=1.0)
    assert len(plain.rounds[1].measurements) == len(devices) == 2
    assert knowing.rounds[1].loss < 0.2 * plain.rounds[1].loss
    # The model is still judged without.
    assert knowing.rounds[0].evaluation.loss == plain.rounds[0].evaluation.loss


def test_sgd_lowers_the_loss_as_well(run):
    result = run(rounds=5, probes=24, batch=8, update=SgdStep(rate=0.1))
    assert result.rounds[-1].evaluation.loss < result.rounds[0].evaluation.loss


def test_a_run_replayed_from_seeds_and_slopes_gives_the_same_bits(run, tmp_path):
    values = run().values
    assert replay(tmp_path / "run").tobytes() == values.tobytes()
    round_number, checkpoint = RunFolder(tmp_path / "run").checkpoint()
    assert round_number == 4
    assert checkpoint.replica.values.tobytes() == values.tobytes()


def answer_of(record, client):
    return next(one for one in record.measurements if one.client == client)


def reason_for(record, client):
    return next(one.reason for one in record.lost if one.client == client)


def test_every_replica_holds_the_servers_values(run, devices):
    """The devices last probed at the values that the round before the last ended with."""
    result = run()
    for device in devices:
        held = {
            values_sha256(np.frombuffer(content, dtype="<f4"))
            for path, content in device.target.files.items()
            if path.endswith(".f32")
        }
        assert result.rounds[-2].values_sha256 in held


def test_a_probe_costs_four_bytes_up_and_its_coefficient_four_down(run, devices):
    few, many = run(out="few", probes=6), run(out="many", probes=26)
    for number in (2, 3, 4):
        for client in ("one", "two"):
            less, more = (answer_of(r.rounds[number], client) for r in (few, many))
            assert len(more.directions) - len(less.directions) == 10
            assert more.bytes_up - less.bytes_up == 4 * 10
            assert more.bytes_down - less.bytes_down == 4 * 20
            assert more.values_from == "updates"
    assert answer_of(few.rounds[1], "one").values_from == "held"
    assert devices[1].target.pushed_bytes == 0


def test_probes_of_a_round_have_distinct_seeds(run):
    seeds = [
        seed for record in run().rounds for one in record.measurements for seed in one.directions
    ]
    assert len(set(seeds)) == len(seeds) == 24


def test_a_device_that_fails_loses_its_probes_and_catches_up(run, devices):
    def fail_in_second_run():
        if devices[1].runs == 2:
            raise DeviceError("unplugged", device="two")

    devices[1].before_run = fail_in_second_run
    result = run()
    assert [record.probes for record in result.rounds] == [0, 6, 3, 6, 6]
    assert "unplugged" in reason_for(result.rounds[2], "two")
    assert [one.client for one in result.rounds[2].measurements] == ["one"]
    after = answer_of(result.rounds[3], "two")
    assert after.values_from == "updates"
    assert after.bytes_down > answer_of(result.rounds[3], "one").bytes_down


def test_a_device_that_never_answers_does_not_stop_the_run(run, devices, tmp_path):
    def fail():
        raise DeviceError("gone", device="two")

    devices[1].before_run = fail
    result = run()
    assert [record.probes for record in result.rounds] == [0, 3, 3, 3, 3]
    assert replay(tmp_path / "run").tobytes() == result.values.tobytes()


def test_when_no_device_answers_the_run_stops_and_can_continue(run, devices):
    def fail():
        raise DeviceError("gone", device="two")

    devices[0].change = lambda records: [r for r in records if not isinstance(r, ProbeRecord)]
    devices[1].before_run = fail
    with pytest.raises(AllClientsFailedError, match="no client answered in round 1") as caught:
        run()
    assert "one: it answered for other directions" in str(caught.value)
    assert "two: gone" in str(caught.value)
    devices[0].change = lambda records: records
    assert len(run().rounds) == 5


@pytest.mark.parametrize("slope", [float("nan"), float("inf"), 1e39])
def test_a_slope_that_is_no_float32_number_is_refused(run, devices, slope):
    def spoil(records):
        return [
            r.model_copy(update={"slope": slope}) if isinstance(r, ProbeRecord) else r
            for r in records
        ]

    devices[1].change = spoil
    result = run()
    assert "finite" in reason_for(result.rounds[1], "two")
    assert np.isfinite(result.values).all()
    assert [record.probes for record in result.rounds[1:]] == [3] * 4


def test_a_replica_that_differs_is_healed_by_a_snapshot(run, devices, bundle):
    def spoil_third_run():
        if devices[1].runs == 3:
            for path, content in devices[1].target.files.items():
                devices[1].target.files[path] = content[:-4] + b"\0\0\0\1"

    devices[1].before_run = spoil_third_run
    result = run()
    assert answer_of(result.rounds[3], "two").values_from == "snapshot"
    assert answer_of(result.rounds[4], "two").values_from == "updates"
    assert devices[1].target.pushed_bytes == 4 * bundle.manifest.lora.parameters


def test_a_wiped_device_gets_a_snapshot(run, devices):
    def wipe_before_third_run():
        if devices[1].runs == 3:
            devices[1].target.files.clear()

    devices[1].before_run = wipe_before_third_run
    assert answer_of(run().rounds[3], "two").values_from == "snapshot"


def test_a_long_absence_is_ended_by_a_snapshot_once_that_is_smaller(run, devices, bundle):
    """The coefficients missed over enough rounds outweigh the values themselves."""
    parameters = bundle.manifest.lora.parameters
    missed = parameters // 24 + 2

    def fail_at_first():
        if 2 <= devices[1].runs <= 1 + missed:
            raise DeviceError("away", device="two")

    devices[1].before_run = fail_at_first
    result = run(rounds=missed + 3, probes=48, evaluate_every=100, batch=1)
    returned = answer_of(result.rounds[missed + 2], "two")
    assert returned.values_from == "snapshot"
    assert returned.bytes_down < 4 * parameters + 200
    assert returned.bytes_down < 4 * 24 * (missed + 1)


@pytest.mark.parametrize("checkpoint_every", [1, 3])
@pytest.mark.parametrize("rounds_before", [0, 1, 3])
def test_an_interrupted_run_continues_to_the_same_values(
    run, bundle, tmp_path, rounds_before, checkpoint_every
):
    def kill(record):
        if record.round == rounds_before:
            raise Killed

    uninterrupted = run(out="whole", checkpoint_every=checkpoint_every)
    fleet = [TorchDevice("one", bundle), TorchDevice("two", bundle)]
    with pytest.raises(Killed):
        run(fleet=fleet, checkpoint_every=checkpoint_every, on_round=kill)
    with (tmp_path / "run" / "rounds.jsonl").open("a") as log:
        log.write('{"round": 1, "los')  # torn by the crash
    resumed = run(fleet=fleet, checkpoint_every=checkpoint_every)
    assert resumed.values.tobytes() == uninterrupted.values.tobytes()
    assert [r.values_sha256 for r in resumed.rounds] == [
        r.values_sha256 for r in uninterrupted.rounds
    ]
    assert replay(tmp_path / "run").tobytes() == resumed.values.tobytes()


def test_a_run_continues_on_fresh_devices(run, bundle):
    uninterrupted = run(out="whole")

    def kill(record):
        if record.round == 2:
            raise Killed

    with pytest.raises(Killed):
        run(on_round=kill)
    fleet = [TorchDevice("one", bundle), TorchDevice("two", bundle)]
    resumed = run(fleet=fleet)
    assert resumed.values.tobytes() == uninterrupted.values.tobytes()
    assert answer_of(resumed.rounds[3], "one").values_from == "snapshot"


PRIVATE = {
    "privacy": SlopeNoise(clip=1.0, multiplier=0.5),
    "admission": AdmissionRules(loss="withheld"),
}


def test_a_round_that_is_asked_again_releases_the_same_noise(run, tmp_path):
    """The server dies between the answers and its log: a new draw would tell more each time."""

    def kill(record):
        if record.round == 3:
            raise Killed

    with pytest.raises(Killed):
        run(checkpoint_every=2, on_round=kill, **PRIVATE)
    log = tmp_path / "run" / "rounds.jsonl"
    *before, released = log.read_text().splitlines(keepends=True)
    log.write_text("".join(before))
    resumed = run(checkpoint_every=2, **PRIVATE)
    first = {one["client"]: one["slopes"] for one in json.loads(released)["measurements"]}
    again = {one.client: list(one.slopes) for one in resumed.rounds[3].measurements}
    assert first == again
    other = run(out="other", **PRIVATE)
    assert again["one"] != list(answer_of(other.rounds[3], "one").slopes)


def test_what_private_slopes_were_worth_counts_those_that_were_lost(run, devices):
    def fails():
        raise DeviceError("gone", device="two")

    devices[1].before_run = fails
    config = TrainingConfig(rounds=4, **PRIVATE)
    rounds = run(**PRIVATE).rounds
    spent = privacy_spent(config, rounds, delta=1e-5)
    assert spent.slopes == 4 * 3  # of six in each of four rounds, half to each device
    assert {client for record in rounds[1:] for client in record.slopes_asked} == {"one", "two"}
    longer = privacy_spent(config, [*rounds, *rounds[1:]], delta=1e-5)
    assert longer.slopes == 2 * spent.slopes
    assert longer.epsilon > spent.epsilon > 0
    assert privacy_spent(TrainingConfig(rounds=4), rounds, delta=1e-5) is None


def test_a_finished_run_is_not_run_again(run, devices):
    values = run().values
    runs = devices[0].runs
    assert run().values.tobytes() == values.tobytes()
    assert devices[0].runs == runs


def test_another_configuration_does_not_continue_the_run(run):
    run()
    with pytest.raises(TrainingError, match=r"epsilon 0\.01, now 0\.02"):
        run(epsilon=0.02)


def test_a_refused_run_leaves_the_data_of_the_other_alone(run, tmp_path):
    run()
    files = {path: path.read_bytes() for path in (tmp_path / "run" / "data").iterdir()}
    with pytest.raises(TrainingError, match="another config: seed"):
        run(seed=7)
    assert {path: path.read_bytes() for path in files} == files


def test_a_continued_run_restores_missing_data(run, tmp_path):
    run()
    files = {path: path.read_bytes() for path in (tmp_path / "run" / "data").iterdir()}
    for path in files:
        path.unlink()
    run()
    assert {path: path.read_bytes() for path in files} == files


def test_a_changed_log_is_noticed(run, tmp_path):
    run()
    path = tmp_path / "run" / "rounds.jsonl"
    lines = path.read_text().splitlines()
    record = json.loads(lines[2])
    record["measurements"][0]["slopes"][0] *= 1.5
    path.write_text("\n".join([*lines[:2], json.dumps(record), *lines[3:]]) + "\n")
    with pytest.raises(TrainingError, match="round 2 replayed"):
        replay(tmp_path / "run")


@pytest.mark.parametrize("line", ["nonsense", '{"round": 2}'])
def test_a_malformed_log_is_refused(run, tmp_path, line):
    run()
    path = tmp_path / "run" / "rounds.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], line, *lines[3:]]) + "\n")
    with pytest.raises(TrainingError, match="line 3 of the log"):
        run()


def test_a_missing_round_is_noticed(run, tmp_path):
    run()
    path = tmp_path / "run" / "rounds.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], *lines[3:]]) + "\n")
    with pytest.raises(TrainingError, match="line 3 of the log is round 3"):
        run()


def test_the_adapters_hold_the_final_values(run, bundle, tmp_path):
    values = run().values
    manifest = bundle.manifest
    stored = read_adapter_values(
        tmp_path / "run" / "adapter.gguf", manifest.architecture, manifest.lora
    )
    assert stored.tobytes() == values.tobytes()
    saved = load_file(tmp_path / "run" / "adapter" / "adapter_model.safetensors")
    assert manifest.lora.flatten(saved).tobytes() == values.tobytes()


def test_the_tables_tell_the_run(run, tmp_path):
    result = run()
    rounds = pd.read_parquet(tmp_path / "run" / "rounds.parquet")
    assert rounds["round"].tolist() == [0, 1, 2, 3, 4]
    assert rounds["held_out_loss"].notna().tolist() == [True, False, True, False, True]
    probes = pd.read_parquet(tmp_path / "run" / "probes.parquet")
    assert probes["slope"].tolist() == [
        slope for r in result.rounds for one in r.measurements for slope in one.slopes
    ]
    assert probes.groupby("client").size().to_dict() == {"one": 12, "two": 12}


def test_without_held_out_examples_nothing_is_evaluated(run, task):
    data, _ = task
    result = run(given=TrainingData(data.examples, data.rows))
    assert all(record.evaluation is None for record in result.rounds)


def test_a_target_given_twice_is_refused(run, bundle):
    with pytest.raises(TrainingError, match="one is given twice"):
        run(fleet=[TorchDevice("one", bundle), TorchDevice("one", bundle)])


def test_fewer_probes_than_devices_leave_the_last_ones_idle(run, devices):
    result = run(probes=1)
    assert [one.client for one in result.rounds[-1].measurements] == ["one"]
    assert devices[1].runs == 0
