"""The updates that the native runner adds, bit for bit those of the server's replica."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from android_harness.records import LoadRecord
from exporters.lora.combination import Combination, DirectionName
from exporters.lora.directions import SEED_LIMIT, Distribution
from exporters.lora.layout import LoraLayout
from exporters.lora.support import Support
from tests.android_harness.runner.runner_models import (
    MODULES,
    TINY,
    Bench,
    Shape,
    lora_layout,
    make_bench,
    random_sequences,
    random_values,
    write_adapter,
    write_base,
)
from toolkit.protocol.update import ReplicaState, RoundUpdate

pytestmark = pytest.mark.usefixtures("runner_binary")


def random_bench(folder: Path, generator: np.random.Generator) -> Bench:
    """Any modules, layers and rank; tensors end anywhere in a word of the stream."""
    shape = Shape(**{**vars(TINY), "layers": int(generator.integers(1, 5))})
    count = int(generator.integers(1, 4))
    modules = [str(m) for m in generator.choice(list(MODULES), size=count, replace=False)]
    layout = lora_layout(shape, modules, rank=int(generator.integers(1, 8)))
    bench = Bench(folder, shape, layout, random_values(layout))
    bench.values[::17] = -0.0  # which + 0 would turn into 0
    write_base(bench.base, shape)
    write_adapter(bench.adapter, shape, layout, bench.values)
    bench.write_examples(random_sequences([3], shape.vocabulary))
    return bench


def random_combination(
    layout: LoraLayout, generator: np.random.Generator, distribution: Distribution = "rademacher"
) -> Combination:
    first, last = sorted(int(layer) for layer in generator.integers(0, 5, size=2))
    support = Support(
        layers=None if generator.random() < 0.5 else (first, last),
        matrices="AB" if generator.random() < 0.5 else "B",
        head=bool(generator.random() < 0.5),
    )

    def name() -> DirectionName:
        seeds = tuple(int(seed) for seed in generator.integers(0, SEED_LIMIT, len(layout.tensors)))
        return seeds[0] if generator.random() < 0.5 else seeds

    coefficients = generator.normal(size=int(generator.integers(0, 6))) * 10.0 ** float(
        generator.integers(-6, 3)
    )
    pairs = tuple((name(), float(coefficient)) for coefficient in coefficients)
    return Combination(distribution=distribution, support=support, pairs=pairs)


def run_updates(bench: Bench, updates: tuple[Combination, ...]) -> NDArray[np.float32]:
    """The values that the runner writes; what it says of them must be true."""
    records = bench.run(updates=updates, lora_values_out="after.f32")
    written = (bench.folder / "after.f32").read_bytes()
    (load,) = (record for record in records if isinstance(record, LoadRecord))
    assert load.lora_sha256 == hashlib.sha256(written).hexdigest()
    return np.frombuffer(written, dtype="<f4")


@pytest.mark.parametrize("seed", range(16))
def test_the_runners_replica_is_the_servers_bit_for_bit(seed: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(seed)
    bench = random_bench(tmp_path, generator)
    updates = tuple(random_combination(bench.layout, generator) for _ in range(6))
    state = ReplicaState(bench.values)
    for update in (RoundUpdate(updates[:2]), RoundUpdate(updates[2:])):
        state = state.after(update, bench.layout)

    assert run_updates(bench, updates).tobytes() == state.values.astype("<f4").tobytes()


def test_gaussian_updates_agree_within_rounding(tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    bench = random_bench(tmp_path, generator)
    updates = tuple(random_combination(bench.layout, generator, "gaussian") for _ in range(6))
    state = ReplicaState(bench.values).after(RoundUpdate(updates), bench.layout)

    after = run_updates(bench, updates)

    size = sum(abs(coefficient) for update in updates for _, coefficient in update.pairs)
    assert np.abs(after - bench.values).max() > 0.1 * size
    assert np.abs(after - state.values).max() < 1e-6 * (1 + size)


def test_updated_values_are_read_again(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    bench.write_examples(random_sequences([3], TINY.vocabulary))
    pairs = tuple((90 + i, 0.1 * i) for i in range(20))
    written = run_updates(bench, (Combination(pairs=pairs),))

    (load,) = (r for r in bench.run(lora_values="after.f32") if isinstance(r, LoadRecord))

    assert load.lora_sha256 == hashlib.sha256(written.tobytes()).hexdigest()
