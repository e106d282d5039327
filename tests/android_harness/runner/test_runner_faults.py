"""Every bad file ends in an error record, an `end` and exit code 1; never in a signal."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from android_harness.building.engines import Engine
from android_harness.building.runner_build import build_runner
from android_harness.errors import PushVerificationError, RunnerFailedError
from android_harness.job import (
    AlongTask,
    EvaluateTask,
    ProbeTask,
    VerbalizerLoss,
)
from android_harness.records import EndRecord, ErrorRecord, HelloRecord, parse_records
from exporters.durable_files import sha256_of
from exporters.lora.combination import Combination
from exporters.lora.support import Support
from tests.android_harness.runner.runner_models import (
    TINY,
    Bench,
    Shape,
    lora_layout,
    make_bench,
    random_sequences,
    random_values,
    random_weights,
    run_job,
    write_adapter,
    write_base,
)

pytestmark = pytest.mark.usefixtures("runner_binary")

EVALUATE = EvaluateTask(batch=(0, 1))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = make_bench(tmp_path, modules=("q_proj", "down_proj"))
    bench.write_examples(random_sequences([5, 9], TINY.vocabulary))
    return bench


def failure(job: Path) -> RunnerFailedError:
    """The one error of a run that fails as it should."""
    done = run_job(job)
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"] for line in lines[:1] + lines[-2:]] == ["hello", "error", "end"]
    assert lines[-1]["status"] == "error"
    with pytest.raises(RunnerFailedError) as caught:
        parse_records(done.stdout, device="local")
    return caught.value


def assert_fails(job: Path, phase: str, message: str, file: str | None = None) -> None:
    error = failure(job)
    assert error.phase == phase
    assert message in error.message
    if file is not None:
        assert error.file is not None
        assert error.file.name == file


# Jobs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("\x00\xff", "not JSON"),
        ("[]", "expected an object"),
        ("{}", "no field model"),
        ('{"model": 3}', "model: expected a string"),
    ],
)
def test_a_job_that_is_none(bench: Bench, text: str, message: str) -> None:
    job = bench.folder / "job.json"
    job.write_bytes(text.encode("latin-1"))
    assert_fails(job, "job", message, "job.json")


def test_a_job_that_is_missing(tmp_path: Path) -> None:
    assert_fails(tmp_path / "absent.json", "job", "cannot open", "absent.json")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("surprise", 1, "unknown field surprise"),
        ("threads", 0, "threads"),
        ("threads", 100000, "threads"),
        ("cpu_mask", "all", "cpu_mask"),
        ("schema_version", 2, "schema_version"),
        ("tasks", [{"kind": "evaluate", "batch": []}], "tasks[0].batch"),
        ("tasks", [{"kind": "evaluate", "batch": [0], "epsilon": 1}], "unknown field epsilon"),
    ],
)
def test_job_fields_that_do_not_hold(bench: Bench, field: str, value: Any, message: str) -> None:
    job = bench.job(EVALUATE)
    job.write_text(json.dumps({**json.loads(job.read_text()), field: value}))
    assert_fails(job, "job", message, "job.json")


def test_a_cpu_mask_without_a_processor_of_this_machine(bench: Bench) -> None:
    assert_fails(bench.job(EVALUATE, cpu_mask="0x8" + "0" * 100), "job", "CPU mask")


# Models -------------------------------------------------------------------------------------


def test_a_missing_model(bench: Bench) -> None:
    bench.base.unlink()
    assert_fails(bench.job(EVALUATE), "model", "cannot open", "base.gguf")


def test_a_model_cut_anywhere(bench: Bench) -> None:
    whole = bench.base.read_bytes()
    job = bench.job(EVALUATE)
    for keep in [*range(0, 64, 7), *np.linspace(64, len(whole) - 1, 20, dtype=int)]:
        bench.base.write_bytes(whole[:keep])
        assert failure(job).phase == "model"


@pytest.mark.parametrize("offset", range(0, 24, 3))
def test_a_flipped_header(bench: Bench, offset: int) -> None:
    data = bytearray(bench.base.read_bytes())
    data[offset] ^= 0xFF
    bench.base.write_bytes(data)
    assert_fails(bench.job(EVALUATE), "model", "", "base.gguf")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"block_count": 3}, "blk.2.attn_norm.weight"),
        ({"block_count": 4_000_000_000}, "block_count"),
        ({"block_count": 2_000_000_000}, "more layers than tensors"),
        ({"block_count": "two"}, "block_count is not a number"),
        ({"block_count": None}, "no llama.block_count"),
        ({"embedding_length": 64}, "expected [64"),
        ({"feed_forward_length": 49}, "expected [32, 49]"),
        ({"attention.head_count": 0}, "head_count"),
        ({"attention.head_count_kv": 3}, "does not divide"),
        ({"attention.key_length": 7}, "head size is not even"),
        ({"attention.value_length": 4}, "differ in size"),
        ({"rope.dimension_count": 4}, "part of the head"),
        ({"rope.freq_base": -1.0}, "rope base"),
        ({"rope.freq_base": float("nan")}, "not finite"),
        ({"rope.scaling.type": "yarn"}, "rope scaling of type yarn"),
        ({"rope.scaling.type": "linear"}, "rope.scaling.factor"),
        ({"attention.layer_norm_rms_epsilon": -1.0}, "norm epsilon"),
        ({"context_length": 8}, "9 tokens, the model reads 8"),
        ({"attention.sliding_window": 8}, "9 tokens, the model reads 8"),
        ({"expert_count": 8}, "mixture-of-experts"),
    ],
)
def test_metadata_that_does_not_fit(bench: Bench, metadata: dict[str, Any], message: str) -> None:
    bench.base.unlink()
    shape = Shape(**{**vars(TINY), "metadata": metadata})
    write_base(bench.base, shape, weights=random_weights(TINY))
    phase = "examples" if "tokens" in message else "model"
    assert_fails(bench.job(EVALUATE), phase, message)


def test_an_unknown_architecture(bench: Bench) -> None:
    bench.base.unlink()
    write_base(bench.base, Shape(**{**vars(TINY), "architecture": "gpt2"}))
    assert_fails(bench.job(EVALUATE), "model", "architecture gpt2 is not supported", "base.gguf")


def without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda weights: weights.pop(name)


def with_tensor(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda weights: weights.update({name: np.asarray(value, dtype=np.float32)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("token_embd.weight"), "no tensor token_embd.weight"),
        (without("output_norm.weight"), "no tensor output_norm.weight"),
        (without("blk.1.ffn_down.weight"), "no tensor blk.1.ffn_down.weight"),
        (with_tensor("blk.0.attn_q.weight", np.zeros((32, 16))), "blk.0.attn_q.weight has shape"),
        (with_tensor("output.weight", np.zeros((65, 32))), "output.weight has shape"),
        (with_tensor("blk.0.attn_q_norm.weight", np.zeros(8)), "not part of a supported model"),
        (with_tensor("blk.0.attn_q.bias", np.zeros(31)), "blk.0.attn_q.bias has shape"),
        (with_tensor("rope_freqs.weight", np.ones(3)), "rope_freqs.weight has shape"),
    ],
)
def test_tensors_that_do_not_fit(
    bench: Bench, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    weights = random_weights(TINY)
    change(weights)
    bench.base.unlink()
    write_base(bench.base, TINY, weights=weights)
    assert_fails(bench.job(EVALUATE), "model", message, "base.gguf")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e38])
def test_a_loss_that_is_not_finite(bench: Bench, value: float) -> None:
    weights = random_weights(TINY)
    weights["output.weight"][:] = value
    bench.base.unlink()
    write_base(bench.base, TINY, weights=weights)
    assert_fails(bench.job(EVALUATE), "compute", "not finite")


# Adapters and values ------------------------------------------------------------------------


def rewrite_adapter(bench: Bench, shape: Shape, modules: tuple[str, ...], rank: int = 4) -> None:
    bench.adapter.unlink()
    layout = lora_layout(shape, modules, rank)
    write_adapter(bench.adapter, shape, layout, random_values(layout))


def test_an_adapter_for_another_architecture(bench: Bench) -> None:
    rewrite_adapter(bench, Shape(**{**vars(TINY), "architecture": "qwen2"}), ("q_proj",))
    assert_fails(bench.job(EVALUATE), "adapter", "the adapter is for qwen2", "adapter.gguf")


def test_an_adapter_for_other_widths(bench: Bench) -> None:
    rewrite_adapter(bench, Shape(**{**vars(TINY), "width": 64}), ("q_proj",))
    assert_fails(bench.job(EVALUATE), "adapter", "has 64 inputs", "adapter.gguf")


def test_an_adapter_for_more_layers(bench: Bench) -> None:
    rewrite_adapter(bench, Shape(**{**vars(TINY), "layers": 3}), ("q_proj",))
    assert_fails(bench.job(EVALUATE), "adapter", "blk.2.attn_q.weight.lora_a", "adapter.gguf")


def test_a_base_model_as_adapter(bench: Bench) -> None:
    bench.adapter.write_bytes(bench.base.read_bytes())
    assert_fails(bench.job(EVALUATE), "adapter", "general.type", "adapter.gguf")


def test_an_adapter_cut_anywhere(bench: Bench) -> None:
    whole = bench.adapter.read_bytes()
    job = bench.job(EVALUATE)
    for keep in np.linspace(0, len(whole) - 1, 15, dtype=int):
        bench.adapter.write_bytes(whole[:keep])
        assert failure(job).phase == "adapter"


@pytest.mark.parametrize("extra", [-4, -1, 1, 4])
def test_values_of_another_size(bench: Bench, extra: int) -> None:
    size = bench.layout.parameters * 4 + extra
    (bench.folder / "values.f32").write_bytes(bytes(size))
    job = bench.job(EVALUATE, lora_values="values.f32")
    assert_fails(job, "lora_values", f"{size} bytes", "values.f32")


def test_values_that_are_missing(bench: Bench) -> None:
    job = bench.job(EVALUATE, lora_values="absent.f32")
    assert_fails(job, "lora_values", "cannot open", "absent.f32")


def test_values_that_are_not_numbers(bench: Bench) -> None:
    values = np.full(bench.layout.parameters, np.nan, dtype="<f4")
    (bench.folder / "values.f32").write_bytes(values.tobytes())
    assert_fails(bench.job(EVALUATE, lora_values="values.f32"), "compute", "not finite")


def test_a_folder_that_values_cannot_go_to(bench: Bench) -> None:
    job = bench.job(EVALUATE, lora_values_out="absent/values.f32")
    assert_fails(job, "lora_values", "cannot create", "values.f32")


# Examples -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"tokens": [64], "targets": [1]}, "line 1: token 64 is outside the vocabulary of 64"),
        ({"tokens": [-1], "targets": [1]}, "line 1: token -1 is outside"),
        ({"tokens": [1], "targets": [64]}, "line 1: target 64 is outside"),
        ({"tokens": [1], "targets": [-99]}, "line 1: target -99 is outside"),
        ({"tokens": [1, 2], "targets": [1]}, "line 1: tokens and targets differ in length"),
        ({"tokens": [], "targets": []}, "line 1: no tokens"),
        ({"tokens": [2**40], "targets": [1]}, "line 1: tokens: token id out of range"),
        ({"tokens": [1]}, "line 1: no list targets"),
        ({"tokens": [1] * 49, "targets": [1] * 49}, "line 1: 49 tokens, the model reads 48"),
    ],
)
def test_examples_that_do_not_fit(bench: Bench, row: dict[str, list[int]], message: str) -> None:
    bench.write_rows([row])
    assert_fails(bench.job(EvaluateTask(batch=(0,))), "examples", message, "examples.jsonl")


def test_lines_that_do_not_exist(bench: Bench) -> None:
    assert_fails(bench.job(EvaluateTask(batch=(0, 2))), "compute", "line 2 (from 0) of 2 examples")


def test_batches_without_targets(bench: Bench) -> None:
    bench.write_rows([{"tokens": [1, 2], "targets": [-100, -100]}])
    task = ProbeTask(batch=(0,), epsilon=0.1, directions=(1,))
    assert_fails(bench.job(task), "compute", "no example of the batch has a target")
    assert_fails(bench.job(EvaluateTask(batch=(0,))), "compute", "has a target")


def test_targets_that_are_no_labels(bench: Bench) -> None:
    job = bench.job(EVALUATE, loss=VerbalizerLoss(tokens=(1, 2)))
    assert_fails(job, "examples", "is not a label token", "examples.jsonl")


def test_layers_without_lora(bench: Bench) -> None:
    task = ProbeTask(batch=(0,), epsilon=0.1, directions=(1,), support=Support(layers=(7, 9)))
    assert_fails(bench.job(task), "compute", "no layer from 7 to 9 is adapted")


@pytest.mark.parametrize("seeds", [(), (1,), (1,) * 7, (1,) * 9])
def test_names_for_another_number_of_matrices(bench: Bench, seeds: tuple[int, ...]) -> None:
    assert len(bench.layout.tensors) == 8
    message = f"a direction names {len(seeds)} seeds, the adapter has 8 matrices"
    probe = ProbeTask(batch=(0,), epsilon=0.1, directions=(1, seeds))
    assert_fails(bench.job(EVALUATE, probe), "job", message, "job.json")
    update = Combination(pairs=((1, 0.5), (seeds, 0.5)))
    assert_fails(bench.job(EVALUATE, updates=(update,)), "job", message, "job.json")


ALONG = AlongTask(batch=(0,), epsilon=0.1, direction="u.f32")


@pytest.mark.parametrize("extra", [-4, -1, 1, 4])
def test_a_direction_of_another_size(bench: Bench, extra: int) -> None:
    size = bench.layout.parameters * 4 + extra
    (bench.folder / "u.f32").write_bytes(bytes(size))
    assert_fails(bench.job(ALONG), "direction", f"{size} bytes", "u.f32")


def test_a_direction_that_is_missing(bench: Bench) -> None:
    assert_fails(bench.job(ALONG), "direction", "cannot open", "u.f32")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e38])
def test_a_direction_that_leads_nowhere(bench: Bench, value: float) -> None:
    direction = np.full(bench.layout.parameters, value, dtype="<f4")
    (bench.folder / "u.f32").write_bytes(direction.tobytes())
    assert_fails(bench.job(ALONG), "compute", "not finite")


def test_records_before_a_failure_are_kept(bench: Bench) -> None:
    done = run_job(bench.job(EVALUATE, EvaluateTask(batch=(9,))))
    end = json.loads(done.stdout.splitlines()[-1])
    assert end == {"event": "end", "status": "error", "tasks_done": 1}
    assert '"event":"evaluation"' in done.stdout


# Anything at all ----------------------------------------------------------------------------


def survives(job: Path) -> None:
    """The records are whole and end in an `end` that agrees with the exit code."""
    done = run_job(job)
    assert done.returncode in (0, 1), (done.returncode, done.stderr[-2000:])
    records = [json.loads(line) for line in done.stdout.splitlines()]
    HelloRecord.model_validate(records[0])
    end = EndRecord.model_validate(records[-1])
    assert (end.status == "ok") == (done.returncode == 0)
    if end.status == "error":
        ErrorRecord.model_validate(records[-2])


@pytest.mark.parametrize("name", ["base.gguf", "adapter.gguf"])
@pytest.mark.parametrize("seed", range(60))
def test_no_mutation_of_a_gguf_kills_the_runner(bench: Bench, name: str, seed: int) -> None:
    """Bytes of the header change at random: sizes, types, names, offsets and metadata."""
    generator = np.random.default_rng([seed, len(name)])
    path = bench.folder / name
    data = bytearray(path.read_bytes())
    header = min(len(data), 4000)
    for _ in range(int(generator.integers(1, 5))):
        place = int(generator.integers(0, header - 8))
        if generator.random() < 0.5:
            data[place] = int(generator.integers(0, 256))
        else:  # a size or a type that is far from what it was
            value = int(generator.choice([0, 1, 2**16, 2**31 - 1, 2**32 - 1, 2**62, 2**63]))
            struct.pack_into("<Q", data, place, value)
    path.write_bytes(data)
    survives(bench.job(EVALUATE))


@pytest.mark.parametrize("seed", range(30))
def test_no_mutation_of_a_text_file_kills_the_runner(bench: Bench, seed: int) -> None:
    generator = np.random.default_rng(seed)
    (bench.folder / "u.f32").write_bytes(bytes(bench.layout.parameters * 4))
    update = Combination(support=Support(layers=(0, 1)), pairs=((1, 0.5), (tuple(range(8)), 0.5)))
    probe = ProbeTask(batch=(0, 1), epsilon=0.1, directions=(1, tuple(range(8))))
    job = bench.job(EVALUATE, probe, ALONG, updates=(update,))
    path = job if seed % 2 else bench.folder / "examples.jsonl"
    data = bytearray(path.read_bytes())
    for _ in range(int(generator.integers(1, 4))):
        place = int(generator.integers(0, len(data)))
        if generator.random() < 0.3:
            del data[place : place + int(generator.integers(1, 9))]
        else:
            data[place] = int(generator.choice(list(b'0123456789-.eE,:[]{}"\\ \n\x00\xff')))
    path.write_bytes(data)
    survives(job)


# The command line ---------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["ggml", "executorch"])
def test_a_job_that_is_not_the_one_that_was_sent_is_refused(
    engine: Engine, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    fixture = "runner_binary" if engine == "ggml" else "executorch_runner_binary"
    runner = request.getfixturevalue(fixture)
    job = tmp_path / "job.json"
    job.write_text('{"threads": 12}')
    digest = sha256_of(job)

    def said() -> str:
        command = [runner, str(job), digest]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    with pytest.raises(RunnerFailedError):  # it is, but no job
        parse_records(said(), device="here")
    job.write_text('{"threads": 13}')
    with pytest.raises(PushVerificationError, match=digest):
        parse_records(said(), device="here")


def test_version_and_usage() -> None:
    runner = build_runner()
    version = subprocess.run([runner, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("fwdllm-runner ")
    usage = subprocess.run([runner], capture_output=True, text=True, check=False)
    assert usage.returncode == 2
    assert "usage" in usage.stderr
