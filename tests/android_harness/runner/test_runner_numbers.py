"""What the native runner computes, against llama.cpp, Hugging Face and numpy."""

from __future__ import annotations

import ctypes
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import LlamaConfig, LlamaForCausalLM

from android_harness.job import (
    NO_WARMUP,
    AlongTask,
    EvaluateTask,
    ProbeTask,
    TimeTask,
    VerbalizerLoss,
    Warmup,
)
from android_harness.records import (
    AlongRecord,
    EvaluationRecord,
    LoadRecord,
    MemoryRecord,
    Record,
    SampleRecord,
    WarmupRecord,
)
from exporters.lora.combination import DirectionName, named_direction
from exporters.lora.directions import Distribution, direction
from exporters.lora.support import EVERYTHING, Support
from tests.android_harness.runner.runner_models import (
    MODULES,
    TINY,
    Bench,
    Shape,
    make_bench,
    probes,
    random_sequences,
    random_weights,
    write_base,
)

pytestmark = pytest.mark.usefixtures("runner_binary")

Kind = gguf.GGMLQuantizationType


def losses(records: list[Record]) -> list[float]:
    return [record.loss for record in records if isinstance(record, EvaluationRecord)]


# Against llama.cpp --------------------------------------------------------------------------


def llama_cpp_logits(base: Path, adapter: Path, tokens: list[int]) -> NDArray[np.float32]:
    """Logits after each token of one sequence, by stock llama.cpp in float32 attention."""
    llama_cpp.llama_backend_init()
    loading = llama_cpp.llama_model_default_params()
    loading.use_extra_bufts = False  # those for Intel's AMX crash on Q8_0
    model = llama_cpp.llama_model_load_from_file(str(base).encode(), loading)
    lora = llama_cpp.llama_adapter_lora_init(model, str(adapter).encode())
    parameters = llama_cpp.llama_context_default_params()
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = len(tokens)
    parameters.n_threads = parameters.n_threads_batch = 1
    parameters.type_k = parameters.type_v = 0  # float32
    parameters.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
    context = llama_cpp.llama_init_from_model(model, parameters)
    adapters = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(lora)
    assert llama_cpp.llama_set_adapters_lora(context, adapters, 1, (ctypes.c_float * 1)(1.0)) == 0
    batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    for i, token in enumerate(tokens):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, 1
        batch.seq_id[i][0] = 0
    assert llama_cpp.llama_decode(context, batch) == 0
    size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits(context), (len(tokens), size)).copy()
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return logits


def mean_loss(logits: NDArray[np.float32], targets: list[int]) -> float:
    wide = logits.astype(np.float64)
    top = wide.max(axis=1)
    normalizer = top + np.log(np.exp(wide - top[:, None]).sum(axis=1))
    return float((normalizer - wide[np.arange(len(targets)), targets]).mean())


def assert_llama_cpp_agrees(bench: Bench, relative: float) -> None:
    (sequence,) = random_sequences([40], bench.shape.vocabulary)
    bench.write_examples([sequence])
    (loss,) = losses(bench.run(EvaluateTask(batch=(0,))))
    logits = llama_cpp_logits(bench.base, bench.adapter, sequence[:-1])
    assert loss == pytest.approx(mean_loss(logits, sequence[1:]), rel=relative)


@pytest.mark.parametrize(
    "shape",
    [
        Shape(),
        Shape(tied=True),
        Shape(biases=True),
        Shape(architecture="qwen2", biases=True, tied=True),
        Shape(head_size=32, key_value_heads=4),
        Shape(metadata={"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}),
        Shape(metadata={"attention.sliding_window": 40}),
    ],
    ids=["llama", "tied", "biases", "qwen2", "narrow-heads", "linear-rope", "sliding-window"],
)
def test_f32_loss_is_llama_cpps(shape: Shape, tmp_path: Path) -> None:
    assert_llama_cpp_agrees(make_bench(tmp_path, shape), relative=1e-4)


@pytest.mark.parametrize("kind", [Kind.F16, Kind.BF16, Kind.Q8_0, Kind.Q4_0, Kind.Q5_1])
def test_quantized_loss_is_llama_cpps(kind: Kind, tmp_path: Path) -> None:
    assert_llama_cpp_agrees(make_bench(tmp_path, quantization=kind, shape=Shape()), relative=1e-3)


def test_loss_of_pretrained_weights_is_llama_cpps(tmp_path: Path, shared_data: Path) -> None:
    shape = Shape("llama", 5, 64, 172, 8, 4, 8, 512)
    bench = make_bench(tmp_path, shape)
    bench.base.unlink()
    bench.base.symlink_to(shared_data / "stories260K" / "stories260K.gguf")
    assert_llama_cpp_agrees(bench, relative=1e-4)


def test_llama3_rope_factors_are_used(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, Shape())
    weights = random_weights(bench.shape)
    weights["rope_freqs.weight"] = np.linspace(1, 8, 32, dtype=np.float32)
    bench.base.unlink()
    write_base(bench.base, bench.shape, weights=weights)
    assert_llama_cpp_agrees(bench, relative=1e-4)


# Against Hugging Face -----------------------------------------------------------------------


def hugging_face_model(shape: Shape, weights: dict[str, NDArray[np.float32]]) -> LlamaForCausalLM:
    """The same weights as a PyTorch model, in PyTorch's rotary row order."""
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        head_dim=shape.head_size,
        rms_norm_eps=1e-5,
        max_position_embeddings=shape.context,
        rope_theta=10000.0,
        attn_implementation="eager",  # the fused kernel has no forward-mode derivative
    )
    model = LlamaForCausalLM(config).eval()
    half = shape.head_size // 2

    def tensor(name: str) -> torch.Tensor:
        value = weights[name]
        if "attn_q" in name or "attn_k" in name:
            value = value.reshape(-1, half, 2, shape.width).swapaxes(1, 2).reshape(value.shape)
        return torch.from_numpy(np.ascontiguousarray(value))

    state = {
        "model.embed_tokens.weight": tensor("token_embd.weight"),
        "model.norm.weight": tensor("output_norm.weight"),
        "lm_head.weight": tensor("output.weight"),
    }
    for layer in range(shape.layers):
        block, prefix = f"blk.{layer}", f"model.layers.{layer}"
        state[f"{prefix}.input_layernorm.weight"] = tensor(f"{block}.attn_norm.weight")
        state[f"{prefix}.post_attention_layernorm.weight"] = tensor(f"{block}.ffn_norm.weight")
        for module, name in MODULES.items():
            kind = "mlp" if module in ("gate_proj", "up_proj", "down_proj") else "self_attn"
            state[f"{prefix}.{kind}.{module}.weight"] = tensor(f"{block}.{name}.weight")
    model.load_state_dict(state, strict=True)
    return model


def test_losses_and_slopes_are_those_of_the_pytorch_model(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, TINY)
    (sequence,) = random_sequences([30], TINY.vocabulary)
    bench.write_examples([sequence])
    model = hugging_face_model(TINY, random_weights(TINY))
    bases = {name: value.detach() for name, value in model.state_dict().items()}

    def loss(flat: torch.Tensor) -> torch.Tensor:
        weights = dict(bases)
        matrices = {
            (t.layer, t.module, t.matrix): flat[t.slice].reshape(t.shape)
            for t in bench.layout.tensors
        }
        for name, base in bases.items():
            parts = name.split(".")
            if len(parts) == 6 and parts[4] in MODULES:
                layer, module = int(parts[2]), parts[4]
                change = matrices[layer, module, "B"] @ matrices[layer, module, "A"]
                weights[name] = base + bench.layout.alpha / bench.layout.rank * change
        tokens = torch.tensor(sequence)
        logits = torch.func.functional_call(model, weights, (tokens[None, :-1],)).logits
        return torch.nn.functional.cross_entropy(logits[0].double(), tokens[1:])

    theta = torch.from_numpy(bench.values)
    seeds = tuple(range(20, 28))
    task = ProbeTask(batch=(0,), epsilon=1e-3, directions=seeds, directions_per_pass=3)
    records = bench.run(EvaluateTask(batch=(0,)), task)
    assert losses(records) == [pytest.approx(float(loss(theta)), rel=1e-5)]
    exact = [
        float(torch.func.jvp(loss, (theta,), (torch.from_numpy(direction(s, len(theta))),))[1])
        for s in seeds
    ]
    measured = [probe.slope for probe in probes(records)]
    cosine = np.dot(measured, exact) / (np.linalg.norm(measured) * np.linalg.norm(exact))
    assert cosine > 0.999


# Against itself -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A tiny f32 model with LoRA everywhere and examples of several lengths."""
    bench = make_bench(tmp_path_factory.mktemp("bench"))
    bench.write_examples(random_sequences([12, 33, 7, 33, 1, 12, 20], TINY.vocabulary))
    return bench


ALL = (0, 1, 2, 3, 4, 5, 6)


def test_a_ragged_batch_is_its_examples_one_by_one(bench: Bench) -> None:
    records = bench.run(EvaluateTask(batch=ALL), *(EvaluateTask(batch=(i,)) for i in ALL))
    together, *alone = [r for r in records if isinstance(r, EvaluationRecord)]
    positions = [record.positions for record in alone]
    assert together.positions == sum(positions)
    mean = np.average([record.loss for record in alone], weights=positions)
    assert together.loss == pytest.approx(mean, rel=1e-6)
    assert together.predictions == sum((record.predictions for record in alone), ())


@pytest.mark.parametrize("estimator", ["central", "forward"])
@pytest.mark.parametrize("layers", [None, (1, 1)])
def test_slopes_do_not_depend_on_directions_per_pass(
    bench: Bench, estimator: str, layers: tuple[int, int] | None
) -> None:
    seeds = tuple(range(1, 8))  # not a multiple of 4: the last pass is narrower
    one, two, four, many = (
        ProbeTask(
            batch=ALL,
            epsilon=1e-2,
            directions=seeds,
            estimator=estimator,  # type: ignore[arg-type]
            support=Support(layers=layers),
            directions_per_pass=width,
        )
        for width in (1, 2, 4, 9)
    )
    found = probes(bench.run(one, two, four, many))
    by_task = [[p for p in found if p.task == task] for task in range(4)]
    assert [p.direction for p in by_task[2]] == list(seeds)
    for others in by_task[1:]:
        for a, b in zip(by_task[0], others, strict=True):
            assert b.slope == pytest.approx(a.slope, rel=2e-3, abs=2e-4)
            assert b.loss_plus == pytest.approx(a.loss_plus, rel=1e-6)


def loss_after(bench: Bench, step: NDArray[np.float32]) -> float:
    """The loss of example 1 at θ + step, made by numpy."""
    (bench.folder / "moved.f32").write_bytes((bench.values + step).astype("<f4").tobytes())
    (loss,) = losses(bench.run(EvaluateTask(batch=(1,)), lora_values="moved.f32"))
    return loss


ONE_SEED_A_TENSOR = tuple(range(100, 128))


@pytest.mark.parametrize("distribution", ["rademacher", "gaussian"])
@pytest.mark.parametrize("name", [77, ONE_SEED_A_TENSOR], ids=["seed", "seeds"])
@pytest.mark.parametrize(
    "support",
    [
        EVERYTHING,
        Support(layers=(1, 1)),
        Support(matrices="B"),
        Support(layers=(0, 0), matrices="B", head=False),
    ],
    ids=["everything", "layer", "B", "B-of-a-layer"],
)
def test_losses_are_those_at_the_moved_values(
    bench: Bench, distribution: Distribution, name: DirectionName, support: Support
) -> None:
    """A probe's losses equal evaluations at θ ± εv."""
    epsilon = 1e-2
    v = named_direction(name, bench.layout, distribution, support)
    task = ProbeTask(
        batch=(1,),
        epsilon=epsilon,
        directions=(5, name),
        distribution=distribution,
        support=support,
        directions_per_pass=2,
    )
    probe = probes(bench.run(task))[1]
    assert probe.direction == name
    for sign, loss in ((1, probe.loss_plus), (-1, probe.loss_minus)):
        assert loss == pytest.approx(loss_after(bench, np.float32(sign * epsilon) * v), rel=1e-6)
    assert probe.slope == (probe.loss_plus - probe.loss_minus) / (2 * epsilon)


def test_a_slope_along_a_given_vector(bench: Bench) -> None:
    u = np.random.default_rng(3).normal(size=bench.layout.parameters).astype("<f4")
    (bench.folder / "u.f32").write_bytes(u.tobytes())
    epsilon = 1e-2
    central = AlongTask(batch=(1,), epsilon=epsilon, direction="u.f32")
    forward = central.model_copy(update={"estimator": "forward"})
    evaluate = EvaluateTask(batch=(1,))
    records = bench.run(central, forward, evaluate)
    first, second = (record for record in records if isinstance(record, AlongRecord))
    assert (first.task, second.task) == (0, 1)
    plus = loss_after(bench, np.float32(epsilon) * u)
    minus = loss_after(bench, np.float32(-epsilon) * u)
    assert first.loss_plus == second.loss_plus == pytest.approx(plus, rel=1e-6)
    assert first.loss_minus == pytest.approx(minus, rel=1e-6)
    assert first.slope == (first.loss_plus - first.loss_minus) / (2 * epsilon)
    assert [second.loss_minus] == losses(records)
    assert second.slope == (second.loss_plus - second.loss_minus) / epsilon


def test_a_slope_along_a_named_direction_is_its_probes(bench: Bench) -> None:
    support = Support(layers=(1, 1))
    u = named_direction(77, bench.layout, "rademacher", support)
    (bench.folder / "u.f32").write_bytes(u.astype("<f4").tobytes())
    probe = ProbeTask(batch=ALL, epsilon=1e-2, directions=(77,), support=support)
    records = bench.run(probe, AlongTask(batch=ALL, epsilon=1e-2, direction="u.f32"))
    (named,) = probes(records)
    (given,) = (record for record in records if isinstance(record, AlongRecord))
    assert (given.slope, given.loss_plus) == (named.slope, named.loss_plus)


def test_probing_leaves_the_base_loss_bit_for_bit(bench: Bench) -> None:
    evaluate = EvaluateTask(batch=(1, 3))
    probe = ProbeTask(batch=(1, 3), epsilon=0.1, directions=(1, 2, 3), directions_per_pass=2)
    before, after = losses(bench.run(evaluate, probe, evaluate))
    assert before == after


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing(bench: Bench, threads: int) -> None:
    task = ProbeTask(batch=ALL, epsilon=1e-2, directions=(1, 2, 3), directions_per_pass=2)
    single, several = probes(bench.run(task)), probes(bench.run(task, threads=threads))
    for a, b in zip(single, several, strict=True):
        assert b.loss_plus == pytest.approx(a.loss_plus, rel=1e-6)


def test_verbalizer_loss_is_a_softmax_over_the_labels(tmp_path: Path) -> None:
    labels = (10, 20, 30)
    bench = make_bench(tmp_path)
    answered = list(zip(random_sequences([9, 14], TINY.vocabulary), (20, 10), strict=True))
    bench.write_rows(
        [{"tokens": s, "targets": [-100] * (len(s) - 1) + [label]} for s, label in answered]
    )
    records = bench.run(EvaluateTask(batch=(0, 1)), loss=VerbalizerLoss(tokens=labels))
    (evaluation,) = (r for r in records if isinstance(r, EvaluationRecord))
    expected, predicted = [], []
    for sequence, label in answered:
        logits = llama_cpp_logits(bench.base, bench.adapter, sequence)[-1, list(labels)]
        expected.append(mean_loss(logits[None], [labels.index(label)]))
        predicted.append(labels[int(logits.argmax())])
    assert evaluation.loss == pytest.approx(np.mean(expected), rel=1e-4)
    assert evaluation.predictions == tuple(predicted)


def test_positions_without_target_do_not_count(tmp_path: Path) -> None:
    """The loss of chosen positions is that of the same positions among all."""
    bench = make_bench(tmp_path)
    (s,) = random_sequences([10], TINY.vocabulary)
    masked = [t if i in (3, 9) else -100 for i, t in enumerate(s[1:])]
    bench.write_rows(
        [{"tokens": s[:-1], "targets": s[1:]}, {"tokens": s[:-1], "targets": masked}]
        + [{"tokens": s[: i + 1], "targets": [-100] * i + [s[i + 1]]} for i in (3, 9)]
    )
    records = bench.run(*(EvaluateTask(batch=(i,)) for i in range(4)))
    everything, chosen, third, ninth = (r for r in records if isinstance(r, EvaluationRecord))
    assert everything.positions == 10 and chosen.positions == 2
    assert chosen.loss == pytest.approx((third.loss + ninth.loss) / 2, rel=1e-6)


def test_large_evaluations_are_split_without_a_trace(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    lengths = [40 - i % 7 for i in range(60)]
    bench.write_examples(random_sequences(lengths, TINY.vocabulary))
    records = bench.run(
        EvaluateTask(batch=tuple(range(60))), *(EvaluateTask(batch=(i,)) for i in range(60))
    )
    together, *alone = [r for r in records if isinstance(r, EvaluationRecord)]
    assert together.loss == pytest.approx(np.average([r.loss for r in alone], weights=lengths))
    assert together.predictions == sum((r.predictions for r in alone), ())


# Records ------------------------------------------------------------------------------------


def test_timed_samples_say_what_they_timed(bench: Bench) -> None:
    central = TimeTask(
        batch=(0, 1), epsilon=1e-2, warmup=NO_WARMUP, repetitions=3, directions_per_pass=4
    )
    forward = central.model_copy(update={"estimator": "forward"})
    records = bench.run(central, forward)
    for task in range(2):
        samples = [r for r in records if isinstance(r, SampleRecord) and r.task == task]
        assert [(s.phase, s.repetition) for s in samples] == [
            ("first", 0),
            ("steady", 0),
            ("steady", 1),
            ("steady", 2),
        ]
        assert all(s.directions == 4 for s in samples)
        # Two signs under `central`; under `forward` the base pass is the first repetition's.
        assert [s.passes for s in samples] == [[2, 2, 2, 2], [2, 1, 1, 1]][task]
        assert all(s.wall_ns > 0 and s.cpu_ns > 0 for s in samples)
        starts = [s.start_ns for s in samples]
        assert starts == sorted(starts)


def test_a_process_warms_up_until_it_has_settled_or_its_time_is_over(bench: Bench) -> None:
    timing = TimeTask(batch=(0, 1), estimator="tangent", repetitions=1, warmup=Warmup(least=9))
    # No noise is as small as this tolerance; the time is over after 60 repetitions or so.
    endless = timing.model_copy(update={"warmup": Warmup(most_ms=200, tolerance=1e-12)})
    records = bench.run(timing, endless)

    for task in range(2):
        samples = [r for r in records if isinstance(r, SampleRecord) and r.task == task]
        warmups = [s for s in samples if s.phase == "warmup"]
        (ended,) = (r for r in records if isinstance(r, WarmupRecord) and r.task == task)
        assert ended.settled == (task == 0)
        assert ended.repetitions == len(warmups) >= (9 if task == 0 else 1)
        assert ended.wall_ns == sum(s.wall_ns for s in warmups)
        assert [s.phase for s in samples] == ["first", *["warmup"] * len(warmups), "steady"]
        assert [s.repetition for s in warmups] == list(range(len(warmups)))


def test_the_pace_of_a_core_is_told_before_and_after_what_counts(bench: Bench) -> None:
    timing = TimeTask(batch=(0,), estimator="tangent", repetitions=2, warmup=NO_WARMUP)
    events = [r.event for r in bench.run(timing)]
    assert events == ["hello", "load", "sample", "warmup", "pace", *["sample"] * 2, "pace",
                      "memory", "end"]  # fmt: skip


def test_each_task_reports_memory(bench: Bench) -> None:
    records = bench.run(EvaluateTask(batch=(0,)), EvaluateTask(batch=(1,)))
    memory = [r for r in records if isinstance(r, MemoryRecord)]
    assert [record.task for record in memory] == [0, 1]
    assert all(0 < record.rss_anon_bytes < record.vm_hwm_bytes for record in memory)


def test_the_cpu_mask_is_the_kernels(bench: Bench) -> None:
    (load,) = (r for r in bench.run(cpu_mask="0x1") if isinstance(r, LoadRecord))
    assert load.cpu_mask == "0x1"
    (load,) = (r for r in bench.run() if isinstance(r, LoadRecord))
    assert load.cpu_mask is None
