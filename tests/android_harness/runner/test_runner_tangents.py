"""The native runner's exact slopes, against forward-mode derivatives by PyTorch and itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from android_harness.job import (
    NO_WARMUP,
    AlongTask,
    EvaluateTask,
    Job,
    Loss,
    ProbeTask,
    TimeTask,
    VerbalizerLoss,
    VocabularyLoss,
)
from android_harness.records import AlongRecord, EvaluationRecord, Record, SampleRecord
from exporters.lora.combination import DirectionName, named_direction
from exporters.lora.support import EVERYTHING, Support
from tests.android_harness.runner.runner_models import (
    MODULES,
    TINY,
    Bench,
    Shape,
    lora_layout,
    make_bench,
    probes,
    random_sequences,
    random_values,
    random_weights,
    write_adapter,
    write_base,
)
from tests.android_harness.runner.torch_llama import TorchLlama, Weights

pytestmark = pytest.mark.usefixtures("runner_binary")

Kind = gguf.GGMLQuantizationType


def slopes(records: list[Record]) -> NDArray[np.float64]:
    return np.array([probe.slope for probe in probes(records)])


def relative_error(measured: NDArray[np.float64], exact: NDArray[np.float64]) -> float:
    # Slopes are of the order of 1. Smaller ones are sums of terms that cancel, whose rounding does
    # not: an error must be small beside them or beside a tenth.
    return float(np.linalg.norm(measured - exact) / (np.linalg.norm(exact) + 0.1))


# Against PyTorch ----------------------------------------------------------------------------


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """Grouped queries, head sizes, rotary pairings and scalings, biases, tied embeddings."""
    key_value_heads = draw(st.sampled_from([1, 2, 3]))
    scaled = {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}
    return Shape(
        architecture=draw(st.sampled_from(["llama", "qwen2"])),
        layers=draw(st.integers(1, 3)),
        width=draw(st.sampled_from([24, 32, 40])),
        feed_forward=draw(st.sampled_from([24, 48])),
        heads=key_value_heads * draw(st.sampled_from([1, 2, 4])),
        key_value_heads=key_value_heads,
        head_size=draw(st.sampled_from([2, 8, 18])),
        vocabulary=draw(st.sampled_from([40, 67])),
        tied=draw(st.booleans()),
        biases=draw(st.booleans()),
        metadata=draw(st.sampled_from([{}, scaled])),
    )


@st.composite
def rows(draw: st.DrawFn, targets: Sequence[int]) -> list[dict[str, list[int]]]:
    """Examples of several lengths in which at least one position has a target."""
    lengths = draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
    made = []
    for length in lengths:
        tokens = draw(st.lists(st.integers(0, 39), min_size=length, max_size=length))
        some = st.sampled_from([-100, *targets])
        made.append(
            {"tokens": tokens, "targets": draw(st.lists(some, min_size=length, max_size=length))}
        )
    made[0]["targets"][-1] = targets[0]
    return made


LOSSES: list[tuple[Loss, tuple[int, ...]]] = [
    (VocabularyLoss(), (3, 17, 39)),
    (VerbalizerLoss(tokens=(30, 5, 9)), (5, 9, 30)),
    (VerbalizerLoss(tokens=(7, 4), shifts=(-0.5, 0.25)), (4, 7)),
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_slopes_are_the_derivatives_of_the_loss(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shape = data.draw(shapes())
    loss, targets = data.draw(st.sampled_from(LOSSES))
    batch = data.draw(rows(targets))
    modules = data.draw(
        st.lists(st.sampled_from(sorted(MODULES)), min_size=1, max_size=7, unique=True)
    )
    layers = data.draw(
        st.none() | st.integers(0, shape.layers - 1).map(lambda first: (first, shape.layers - 1))
    )
    support = Support(layers=layers, matrices=data.draw(st.sampled_from(["AB", "B"])))
    layout = lora_layout(shape, modules, rank=data.draw(st.sampled_from([1, 4, 9])))
    weights = random_weights(shape)

    bench = Bench(tmp_path_factory.mktemp("tangent"), shape, layout, random_values(layout))
    write_base(bench.base, shape, weights=weights)
    write_adapter(bench.adapter, shape, layout, bench.values)
    bench.write_rows(batch)
    names: tuple[DirectionName, ...] = (1, tuple(range(len(layout.tensors))), 3, 4, 5)
    task = ProbeTask(
        batch=tuple(range(len(batch))),
        estimator="tangent",
        directions=names,
        support=support,
        directions_per_pass=data.draw(st.integers(1, 5)),
    )
    measured = slopes(bench.run(task, loss=loss))
    exact = TorchLlama(bench, weights, batch, loss).slopes(
        [named_direction(name, layout, "rademacher", support) for name in names]
    )
    assert relative_error(measured, exact) < 1e-5


def quantized(bench: Bench, kind: Kind) -> Weights:
    """The weights that a quantized model stands for."""
    return {
        name: gguf.quants.dequantize(gguf.quants.quantize(value, kind), kind)
        if value.ndim == 2
        else value
        for name, value in random_weights(bench.shape).items()
    }


@pytest.mark.parametrize("kind", [Kind.F16, Kind.Q8_0, Kind.Q4_0])
def test_slopes_of_a_quantized_model_are_near_those_of_its_weights(
    kind: Kind, tmp_path: Path
) -> None:
    bench = make_bench(tmp_path, Shape(), kind)
    sequences = random_sequences([40, 25], bench.shape.vocabulary)
    bench.write_examples(sequences)
    task = ProbeTask(batch=(0, 1), estimator="tangent", directions=tuple(range(16)))
    measured = slopes(bench.run(task))
    batch = [{"tokens": s[:-1], "targets": s[1:]} for s in sequences]
    exact = TorchLlama(bench, quantized(bench, kind), batch, VocabularyLoss()).slopes(
        [named_direction(seed, bench.layout, "rademacher", EVERYTHING) for seed in range(16)]
    )
    # Differences of losses drown here: see bench/slope_error.py.
    assert relative_error(measured, exact) < (0.002 if kind == Kind.F16 else 0.05)
    refined = slopes(bench.run(task.model_copy(update={"refine": True})))
    if kind == Kind.F16:
        assert (refined == measured).all()
    else:
        assert relative_error(refined, exact) < 0.7 * relative_error(measured, exact)


# Against itself -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A tiny f32 model with LoRA everywhere and examples of several lengths."""
    bench = make_bench(tmp_path_factory.mktemp("bench"))
    bench.write_examples(random_sequences([12, 33, 7, 33, 1, 12, 20], TINY.vocabulary))
    return bench


ALL = (0, 1, 2, 3, 4, 5, 6)
SEEDS = tuple(range(1, 8))
PROBE = ProbeTask(batch=ALL, estimator="tangent", directions=SEEDS)


@pytest.mark.parametrize("batch", [ALL, (0, 5), (4,)])
def test_slopes_do_not_depend_on_directions_per_pass(bench: Bench, batch: tuple[int, ...]) -> None:
    tasks = [
        PROBE.model_copy(update={"directions_per_pass": width, "batch": batch})
        for width in (1, 2, 4, 7, 9, None)
    ]
    found = slopes(bench.run(*tasks)).reshape(len(tasks), len(SEEDS))
    for other in found[1:]:
        assert relative_error(other, found[0]) < 1e-5


@pytest.mark.parametrize("kind", [Kind.F32, Kind.F16, Kind.Q8_0, Kind.Q4_0])
def test_threads_change_no_bit(kind: Kind, tmp_path: Path) -> None:
    bench = make_bench(tmp_path, Shape(), kind)
    bench.write_examples(random_sequences([12, 33, 7, 33, 1, 12, 20], bench.shape.vocabulary))
    one, two, three = (slopes(bench.run(PROBE, threads=threads)) for threads in (1, 2, 3))
    assert (one == two).all()
    assert (one == three).all()


def test_the_loss_is_the_evaluations(bench: Bench) -> None:
    records = bench.run(EvaluateTask(batch=ALL), PROBE)
    (loss,) = (record.loss for record in records if isinstance(record, EvaluationRecord))
    for probe in probes(records):
        assert probe.loss_plus == probe.loss_minus == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("layers", [None, (1, 1)])
def test_a_slope_along_a_named_direction_is_its_probes(
    bench: Bench, layers: tuple[int, int] | None
) -> None:
    support = Support(layers=layers)
    u = named_direction(77, bench.layout, "rademacher", support)
    (bench.folder / "u.f32").write_bytes(u.astype("<f4").tobytes())
    probe = PROBE.model_copy(update={"directions": (77,), "support": support})
    along = AlongTask(batch=ALL, estimator="tangent", direction="u.f32")
    records = bench.run(probe, along)
    (given,) = (record for record in records if isinstance(record, AlongRecord))
    (named,) = probes(records)
    assert (given.slope, given.loss_plus) == (named.slope, named.loss_plus)


def test_the_slope_along_nothing_is_zero(bench: Bench) -> None:
    (bench.folder / "u.f32").write_bytes(bytes(4 * bench.layout.parameters))
    along = AlongTask(batch=ALL, estimator="tangent", direction="u.f32")
    (record,) = (r for r in bench.run(along) if isinstance(r, AlongRecord))
    assert record.slope == 0


def test_slopes_are_linear_in_the_direction(bench: Bench) -> None:
    generator = np.random.default_rng(3)
    u, v = (generator.normal(size=bench.layout.parameters) for _ in range(2))
    found = []
    for vector in (u, v, 2 * u - 3 * v):
        (bench.folder / "u.f32").write_bytes(vector.astype("<f4").tobytes())
        along = AlongTask(batch=ALL, estimator="tangent", direction="u.f32")
        found += [r.slope for r in bench.run(along) if isinstance(r, AlongRecord)]
    assert found[2] == pytest.approx(2 * found[0] - 3 * found[1], rel=1e-4)


def test_a_tangent_counts_as_one_pass(bench: Bench) -> None:
    task = TimeTask(
        batch=ALL, estimator="tangent", directions_per_pass=5, warmup=NO_WARMUP, repetitions=2
    )
    samples = [r for r in bench.run(task) if isinstance(r, SampleRecord)]
    assert [(s.directions, s.passes) for s in samples] == [(5, 6)] * 3


def test_only_differences_need_epsilon() -> None:
    assert PROBE.epsilon is None
    with pytest.raises(ValueError, match="the estimator central needs epsilon"):
        ProbeTask(batch=ALL, directions=SEEDS)


def test_a_job_without_epsilon_is_read_back(bench: Bench) -> None:
    path = bench.job(PROBE)
    assert Job.read(path).tasks == (PROBE,)
