"""Losses, slopes and gradients of encoders with LoRA and a head."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.errors import ExportError, UnsupportedModelError
from exporters.lora.support import Support
from tests.toolkit.simulation.encoders import (
    CLASSES,
    FAMILIES,
    labelled_store,
    random_encoder,
    some_values,
    tuned,
)
from toolkit.simulation.encoder_model import EncoderTuning, encoder_model, load_encoder
from toolkit.simulation.errors import SimulationError
from toolkit.simulation.prefix_cache import CachePolicy
from toolkit.simulation.torch_model import TorchModel

BATCH = (3, 0, 2)


def directions_of(model: TorchModel, count: int, seed: int = 1) -> np.ndarray:
    drawn = np.random.default_rng(seed).choice([-1.0, 1.0], (count, model.parameters))
    return drawn.astype(np.float32)


def plain_loss(family: str, model: TorchModel, values: np.ndarray, lines: tuple[int, ...]) -> float:
    """The loss by merging LoRA into the weights and calling Hugging Face's own forward pass."""
    merged = random_encoder(family, torch.float64).eval()
    store = labelled_store()
    tensors = {tensor.name: tensor for tensor in model.layout.tensors}
    flat = torch.from_numpy(values).double()

    def read(name: str) -> torch.Tensor:
        return flat[tensors[name].slice].reshape(tensors[name].shape)

    layers = {
        "distilbert": lambda: merged.transformer.layer,
        "albert": lambda: [merged.encoder.albert_layer_groups[0].albert_layers[0]],
    }.get(family, lambda: merged.encoder.layer)()
    with torch.no_grad():
        for number, layer in enumerate(layers):
            for name, module in layer.named_modules():
                if f"{number}.{name}.A" in tensors:
                    scale = model.layout.alpha / model.layout.rank
                    module.weight += scale * read(f"{number}.{name}.B") @ read(f"{number}.{name}.A")
        losses = []
        for line in lines:
            tokens = torch.from_numpy(store.tokens(line).astype(np.int64))[None]
            padded = torch.nn.functional.pad(tokens, (0, 4))
            mask = (torch.arange(padded.shape[1]) < tokens.shape[1]).long()[None]
            states = merged(input_ids=padded, attention_mask=mask).last_hidden_state[0]
            logits = read("head.weight") @ states[: tokens.shape[1]].mean(0) + read("head.bias")
            losses.append(-torch.log_softmax(logits, -1)[store.labels[line]])
    return float(torch.stack(losses).mean())


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("layers", ["all", "last:1", "0-1"])
def test_the_loss_is_that_of_the_merged_model(family: str, layers: str) -> None:
    model = tuned(family, torch.float64, layers=layers)
    values = some_values(model)
    batch = model.prepare(labelled_store()).batch(BATCH)
    expected = plain_loss(family, model, values, BATCH)
    assert model.losses(values[None], batch)[0] == pytest.approx(expected, rel=1e-12)


def test_without_lora_alberts_loss_is_hugging_faces() -> None:
    model = tuned("albert", torch.float64)  # B is 0 in the initial values
    batch = model.prepare(labelled_store()).batch(BATCH)
    expected = plain_loss("albert", tuned("albert", layers="none"), model.initial[-51:], BATCH)
    assert model.losses(model.initial[None], batch)[0] == pytest.approx(expected, rel=1e-12)


def test_alberts_layers_have_lora_of_their_own() -> None:
    """One LoRA per layer, equal in all, is the merged shared layer."""
    model = tuned("albert", torch.float64)
    values = some_values(model)
    first = np.concatenate([values[t.slice] for t in model.layout.tensors if t.layer == 0])
    values[: 3 * len(first)] = np.tile(first, 3)
    one_layer = tuned("albert", layers="0-0")
    batch = model.prepare(labelled_store()).batch(BATCH)
    expected = plain_loss("albert", one_layer, np.concatenate([first, values[-51:]]), BATCH)
    assert model.losses(values[None], batch)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_slopes_are_the_derivative(family: str) -> None:
    """Against central differences in float64 at two steps (Richardson)."""
    exact = tuned(family, torch.float64)
    values = some_values(exact).astype(np.float64)
    directions = directions_of(exact, 4).astype(np.float64)
    batch = exact.prepare(labelled_store()).batch(BATCH)

    def difference(step: float) -> np.ndarray:
        moved = np.concatenate([values + step * directions, values - step * directions])
        plus, minus = exact.losses(moved, batch).reshape(2, -1)
        return (plus - minus) / (2 * step)

    expected = (4 * difference(1e-4) - difference(2e-4)) / 3
    single = tuned(family)
    batch = single.prepare(labelled_store()).batch(BATCH)
    for by in ("jvp", "reverse"):
        measured = single.slopes(
            some_values(single),
            batch,
            directions_of(single, 4),
            estimator="tangent",
            directions_per_pass=3,
            by=by,
        )
        assert measured.values.dtype == np.float32
        assert np.abs(measured.values - expected).max() < 1e-5 * np.abs(expected).max()


@settings(deadline=None, max_examples=15)
@given(
    family=st.sampled_from(sorted(FAMILIES)),
    layers=st.sampled_from(["all", "last:1", "1-1", "none"]),
    seed=st.integers(0, 1000),
    per_pass=st.integers(1, 6),
)
def test_one_reverse_pass_gives_what_forward_mode_gives(
    family: str, layers: str, seed: int, per_pass: int
) -> None:
    model = tuned(family, layers=layers)
    values, directions = some_values(model, seed), directions_of(model, 5, seed)
    batch = model.prepare(labelled_store(seed=seed)).batch((1, 4))
    jvp, reverse = (
        model.slopes(
            values,
            batch,
            directions,
            estimator="tangent",
            directions_per_pass=per_pass,
            by=by,
        )
        for by in ("jvp", "reverse")
    )
    assert np.linalg.norm(jvp.values - reverse.values) < 1e-5 * np.linalg.norm(jvp.values)
    assert jvp.loss == pytest.approx(reverse.loss, rel=1e-6)


@pytest.mark.parametrize("estimator", ["central", "forward"])
def test_differences_are_those_of_losses_one_by_one(estimator: str) -> None:
    model = tuned()
    values, directions, epsilon = some_values(model), directions_of(model, 5), 1e-2
    batch = model.prepare(labelled_store()).batch(BATCH)
    slopes, losses = [], []
    for direction in directions:
        plus, minus = (
            float(model.losses((values + np.float32(sign) * direction)[None], batch)[0])
            for sign in (epsilon, -epsilon if estimator == "central" else 0.0)
        )
        slopes.append((plus - minus) / (2 * epsilon if estimator == "central" else epsilon))
        losses += [plus, minus]
    if estimator == "forward":
        losses = [losses[1], *losses[::2]]
    measured = model.slopes(
        values, batch, directions, estimator=estimator, epsilon=epsilon, directions_per_pass=2
    )
    # float32 rounding of a loss near 1, divided by the step.
    assert np.abs(measured.values - slopes).max() < 4e-7 / epsilon
    assert measured.loss == pytest.approx(np.mean(losses), rel=1e-6)


def test_central_differences_approach_the_tangent_in_float64() -> None:
    model = tuned(dtype=torch.float64)
    values, directions = some_values(model), directions_of(model, 3)
    batch = model.prepare(labelled_store()).batch(BATCH)
    tangent = model.slopes(values, batch, directions, estimator="tangent", by="jvp").values
    errors = [
        np.abs(
            model.slopes(values, batch, directions, estimator="central", epsilon=step).values
            - tangent
        ).max()
        for step in (2e-2, 1e-2)
    ]
    assert errors[1] < errors[0] / 3  # of second order


@settings(deadline=None, max_examples=20)
@given(lengths=st.lists(st.integers(1, 20), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_the_closed_head_gradient_is_autograds(lengths: list[int], seed: int) -> None:
    model = tuned()
    values = some_values(model, seed)
    batch = model.prepare(labelled_store(tuple(lengths), seed)).batch(range(len(lengths)))
    closed, whole = model.head_gradient(values, batch), model.gradient(values, batch)
    expected = whole.values[model.head]
    assert closed.values.shape == (CLASSES * 16 + CLASSES,)
    assert np.abs(closed.values - expected).max() < 1e-6 * max(1.0, np.abs(expected).max())
    assert closed.loss == pytest.approx(whole.loss, rel=1e-6)


@settings(deadline=None, max_examples=20)
@given(lines=st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_a_batch_is_the_mean_of_its_examples(lines: list[int]) -> None:
    """Padding, order and repetition change nothing."""
    model = tuned(dtype=torch.float64)
    values = some_values(model)[None]
    examples = model.prepare(labelled_store())
    together = model.losses(values, examples.batch(lines))[0]
    alone = [model.losses(values, examples.batch([line]))[0] for line in lines]
    assert together == pytest.approx(np.mean(alone), rel=1e-12)


def test_evaluation_counts_hits_in_the_order_asked() -> None:
    model = tuned()
    values = some_values(model)
    store = labelled_store()
    examples = model.prepare(store)
    lines = [4, 0, 3, 1]
    evaluated = model.evaluate(values, examples, lines, batch_size=3)
    alone = [model.evaluate(values, examples, [line]) for line in lines]
    assert evaluated.predictions.tolist() == [int(one.predictions[0]) for one in alone]
    assert evaluated.accuracy == np.mean(evaluated.predictions == store.labels[lines])
    assert evaluated.loss == pytest.approx(np.mean([one.loss for one in alone]), rel=1e-6)
    assert model.evaluate(values, examples).predictions.shape == (len(store),)


def test_directions_outside_the_head_do_not_reach_it() -> None:
    model = tuned()
    headless = Support(head=False).mask(model.layout)
    assert not headless[model.head].any()
    assert headless[: model.head.start].all()
    assert model.head.stop == model.parameters


def test_the_order_of_the_flat_vector() -> None:
    model = tuned(targets=("value", "query", "attention.output.dense"), layers="last:2")
    assert [tensor.name for tensor in model.layout.tensors] == [
        f"{layer}.attention.{module}.{matrix}"
        for layer in (1, 2)
        for module in ("self.query", "self.value", "output.dense")
        for matrix in "AB"
    ] + ["head.weight", "head.bias"]
    ends = [tensor.slice.stop for tensor in model.layout.tensors]
    assert [tensor.slice.start for tensor in model.layout.tensors] == [0, *ends[:-1]]
    assert ends[-1] == model.parameters


def test_initial_values_are_pefts_kind() -> None:
    model = tuned(rank=8, head_scale=0.0)
    for tensor in model.layout.tensors:
        piece = model.initial[tensor.slice]
        if tensor.matrix == "A":
            bound = 16**-0.5
            assert 0.9 * bound < np.abs(piece).max() <= bound
            assert abs(piece.mean()) < 0.2 * bound
        else:
            assert not piece.any()
    assert np.array_equal(
        model.initial, tuned(rank=8).initial[: model.head.start].tolist() + [0] * 51
    )
    assert not np.array_equal(model.initial, tuned(rank=8, head_scale=0.0, seed=1).initial)


def test_the_cache_changes_nothing_and_keeps_its_bound() -> None:
    model = tuned(layers="last:1")
    values, store = some_values(model)[None], labelled_store()
    bound = 16 * 4 * 20
    unbounded, bounded, none = (
        model.prepare(store, CachePolicy(bytes=size)) for size in (1 << 30, bound, 0)
    )
    reference = [float(model.losses(values, none.batch([line, 1]))[0]) for line in range(6)]
    for examples in (unbounded, bounded):
        for _ in range(2):
            losses = [
                float(model.losses(values, examples.batch([line, 1]))[0]) for line in range(6)
            ]
            assert losses == reference
    assert unbounded.cache.bytes == 16 * 4 * (5 + 9 + 3 + 12 + 7 + 9)
    assert 0 < bounded.cache.bytes <= bound
    assert none.cache.bytes == 0


def test_half_precision_states_do_not_depend_on_the_bound() -> None:
    model = tuned(layers="last:1")
    values, store = some_values(model)[None], labelled_store()
    kept, dropped, exact = (
        model.prepare(store, policy)
        for policy in (
            CachePolicy(precision="float16"),
            CachePolicy(precision="float16", bytes=0),
            CachePolicy(),
        )
    )
    for _ in range(2):
        rounded = model.losses(values, kept.batch(BATCH))[0]
        assert rounded == model.losses(values, dropped.batch(BATCH))[0]
    assert rounded == pytest.approx(model.losses(values, exact.batch(BATCH))[0], rel=1e-3)
    assert rounded != model.losses(values, exact.batch(BATCH))[0]
    assert 2 * kept.cache.bytes == exact.cache.bytes


def test_the_head_alone_needs_no_layer_after_the_cache() -> None:
    model = tuned(layers="none")
    examples = model.prepare(labelled_store())
    assert model.parameters == CLASSES * 16 + CLASSES
    assert examples.batch(BATCH).states.shape == (3, 1, 16)
    values = some_values(model)
    adapted = tuned(layers="all")
    same = np.concatenate([adapted.initial[: -model.parameters], values])
    assert model.losses(values[None], examples.batch(BATCH))[0] == pytest.approx(
        adapted.losses(same[None], adapted.prepare(labelled_store()).batch(BATCH))[0], rel=1e-6
    )


def test_what_cannot_be_simulated_is_refused() -> None:
    model = tuned()
    examples = model.prepare(labelled_store())
    for lines in ([], [6], [-1]):
        with pytest.raises(SimulationError, match="lines below 6"):
            examples.batch(lines)
    with pytest.raises(SimulationError, match="nothing to evaluate"):
        model.evaluate(model.initial, examples, [])
    with pytest.raises(SimulationError, match="label"):
        tuned(classes=2).prepare(labelled_store()).batch(range(6))
    with pytest.raises(SimulationError, match=r"no linear module q_proj.*attention\.self\.query"):
        tuned(targets=("q_proj",))
    with pytest.raises(ExportError, match="layers"):
        tuned(layers="last:4")
    unlike = random_encoder()
    unlike.config.model_type = "gpt2"
    with pytest.raises(UnsupportedModelError, match="gpt2"):
        encoder_model(unlike, EncoderTuning(classes=2))


def test_threads_have_values_of_their_own() -> None:
    model = tuned()
    examples = model.prepare(labelled_store())
    many = [some_values(model, seed) for seed in range(8)]

    def measure(values: np.ndarray) -> np.ndarray:
        return np.stack([model.gradient(values, examples.batch(BATCH)).values for _ in range(20)])

    alone = [measure(values) for values in many]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(measure, many))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_a_saved_encoder_is_loaded(tmp_path: object) -> None:
    random_encoder().save_pretrained(tmp_path)
    tuning = EncoderTuning(classes=CLASSES, rank=2, head_scale=0.5)
    loaded, made = load_encoder(tmp_path, tuning), tuned()
    values = some_values(made)
    first, second = (
        model.losses(values[None], model.prepare(labelled_store()).batch(BATCH))
        for model in (loaded, made)
    )
    assert first == second
    with pytest.raises(SimulationError, match="cannot load an encoder"):
        load_encoder(tmp_path / "absent", tuning)
