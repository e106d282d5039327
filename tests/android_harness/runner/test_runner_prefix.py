"""What the runner keeps of the frozen layers, and the memory that it allows itself."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from android_harness.errors import RunnerFailedError
from android_harness.job import EvaluateTask, PrefixPolicy, ProbeTask
from android_harness.records import (
    MemoryRecord,
    PrefixRecord,
    Record,
    parse_records,
)
from exporters.lora.combination import Combination
from exporters.lora.support import Support
from tests.android_harness.runner.runner_models import (
    Bench,
    Shape,
    make_bench,
    probes,
    random_sequences,
    run_job,
)

pytestmark = pytest.mark.usefixtures("runner_binary")

SHAPE = Shape(layers=4, width=32, feed_forward=48, heads=4, head_size=8, vocabulary=64)
BATCH = (0, 1, 2)
TOP = Support(layers=(2, 3))
PROBE = ProbeTask(
    batch=BATCH, estimator="tangent", directions=(1, 2, 3), support=TOP, directions_per_pass=3
)
KEPT = PrefixPolicy(bytes=1 << 20)
MODEL_SHA256 = hashlib.sha256(b"a model").hexdigest()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = make_bench(tmp_path, SHAPE)
    bench.write_examples(random_sequences([12, 33, 7, 33], SHAPE.vocabulary))
    return bench


def slopes(records: list[Record]) -> list[float]:
    return [probe.slope for probe in probes(records)]


def prefixes(records: list[Record]) -> list[tuple[int, int]]:
    """(computed, reused) of each task."""
    return [
        (r.examples_computed, r.examples_reused) for r in records if isinstance(r, PrefixRecord)
    ]


@pytest.mark.parametrize("estimator", ["tangent", "central", "forward"])
def test_slopes_from_kept_states_are_those_without(bench: Bench, estimator: str) -> None:
    probe = PROBE.model_copy(update={"estimator": estimator, "epsilon": 1e-2})
    plain = slopes(bench.run(probe))
    exact = bench.run(probe, prefix=KEPT.model_copy(update={"precision": "float32"}))
    assert slopes(exact) == plain
    rounded = slopes(bench.run(probe, prefix=KEPT))
    tolerance = 0.02 * max(map(abs, plain))
    assert rounded != plain
    assert rounded == pytest.approx(plain, abs=tolerance)


def test_states_are_computed_once_for_all_tasks(bench: Bench) -> None:
    again = PROBE.model_copy(update={"batch": (2, 3, 1, 1), "directions": (7,)})
    records = bench.run(PROBE, again, PROBE, prefix=KEPT)
    assert prefixes(records) == [(3, 0), (1, 2), (0, 3)]
    found = slopes(records)
    assert found[:3] == found[4:]  # whether kept or new


def test_without_a_policy_nothing_is_kept(bench: Bench) -> None:
    assert prefixes(bench.run(PROBE, PROBE)) == []


def test_the_least_recently_used_go_first(bench: Bench) -> None:
    one = 33 * SHAPE.width * 2
    policy = PrefixPolicy(bytes=2 * one)  # room for examples 1 and 3, or one of them and small ones

    def probe(*batch: int) -> ProbeTask:
        return PROBE.model_copy(update={"batch": batch})

    records = bench.run(probe(1), probe(3), probe(1), probe(0), probe(1), probe(3), prefix=policy)
    assert prefixes(records) == [(1, 0), (1, 0), (0, 1), (1, 0), (0, 1), (1, 0)]


def test_evaluations_share_what_is_below_the_first_adapted_layer(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, SHAPE)
    bench.write_examples(random_sequences([12, 33, 7, 33], SHAPE.vocabulary))
    # LoRA in all layers: an evaluation begins at the first, and nothing is below it.
    records = bench.run(EvaluateTask(batch=BATCH), EvaluateTask(batch=BATCH), prefix=KEPT)
    assert prefixes(records) == [(0, 0), (0, 0)]


# In a folder --------------------------------------------------------------------------------


def in_folder(model_sha256: str = MODEL_SHA256, size: int = 1 << 20) -> PrefixPolicy:
    return PrefixPolicy(bytes=size, folder="kept", model_sha256=model_sha256)


def files(bench: Bench) -> list[Path]:
    return sorted((bench.folder / "kept").iterdir())


def test_a_folder_outlives_the_run(bench: Bench) -> None:
    first = bench.run(PROBE, prefix=in_folder())
    second = bench.run(PROBE, prefix=in_folder())
    assert (prefixes(first), prefixes(second)) == ([(3, 0)], [(0, 3)])
    assert slopes(first) == slopes(second)
    assert len(files(bench)) == 3


def test_what_changes_the_states_changes_their_name(bench: Bench) -> None:
    policy = in_folder()
    bench.run(PROBE, prefix=policy)
    above = Combination(pairs=((5, 0.1),), support=TOP)
    assert prefixes(bench.run(PROBE, prefix=policy, updates=(above,))) == [(0, 3)]
    below = Combination(pairs=((5, 0.1),), support=Support(layers=(0, 0)))
    assert prefixes(bench.run(PROBE, prefix=policy, updates=(below,))) == [(3, 0)]
    other_model = in_folder(hashlib.sha256(b"another").hexdigest())
    assert prefixes(bench.run(PROBE, prefix=other_model)) == [(3, 0)]
    lower = PROBE.model_copy(update={"support": Support(layers=(1, 3))})
    assert prefixes(bench.run(lower, prefix=policy)) == [(3, 0)]
    bench.write_examples(random_sequences([12, 33, 7, 33], SHAPE.vocabulary, seed=9))
    assert prefixes(bench.run(PROBE, prefix=policy)) == [(3, 0)]


@pytest.mark.parametrize("damage", ["cut", "flipped", "longer", "empty"])
def test_a_damaged_file_is_computed_again(bench: Bench, damage: str) -> None:
    whole = bench.run(PROBE, prefix=in_folder())
    path = files(bench)[0]
    content = bytearray(path.read_bytes())
    content[10] ^= 1 if damage == "flipped" else 0
    kept = {"cut": len(content) - 1, "empty": 0}.get(damage, len(content))
    path.write_bytes(bytes(content[:kept]) + (b"x" if damage == "longer" else b""))
    records = bench.run(PROBE, prefix=in_folder())
    assert prefixes(records) == [(1, 2)]
    assert slopes(records) == slopes(whole)
    assert prefixes(bench.run(PROBE, prefix=in_folder())) == [(0, 3)]  # mended


def test_a_folder_stays_within_its_size(bench: Bench) -> None:
    size = 33 * SHAPE.width * 2 + 200
    bench.run(
        *(PROBE.model_copy(update={"batch": (i,)}) for i in range(4)),
        prefix=in_folder(size=size),
    )
    assert 0 < sum(path.stat().st_size for path in files(bench)) <= size


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(bench: Bench) -> None:
    (bench.folder / "kept").write_text("a file")
    assert slopes(bench.run(PROBE, prefix=in_folder())) == slopes(bench.run(PROBE, prefix=KEPT))


# Memory -------------------------------------------------------------------------------------


def memory(records: list[Record]) -> list[MemoryRecord]:
    return [record for record in records if isinstance(record, MemoryRecord)]


@pytest.mark.parametrize("estimator", ["tangent", "central"])
def test_the_peak_is_predicted(tmp_path: Path, estimator: str) -> None:
    shape = Shape(layers=2, vocabulary=8192, width=512, feed_forward=1024)
    bench = make_bench(tmp_path, shape)
    bench.write_examples(random_sequences([90] * 8, shape.vocabulary))
    probe = ProbeTask(
        batch=tuple(range(8)),
        estimator=estimator,  # type: ignore[arg-type]
        epsilon=1e-2,
        directions=tuple(range(8)),
        directions_per_pass=8,
    )
    (record,) = memory(bench.run(probe))
    assert record.predicted_bytes is not None
    assert 0.8 * record.predicted_bytes < record.vm_hwm_bytes < 1.1 * record.predicted_bytes


def test_a_budget_decides_how_many_directions_share_a_pass(tmp_path: Path) -> None:
    shape = Shape(layers=2, width=512, feed_forward=1024)
    bench = make_bench(tmp_path, shape)
    bench.write_examples(random_sequences([90] * 8, shape.vocabulary))
    probe = ProbeTask(
        batch=tuple(range(8)), estimator="tangent", directions=tuple(range(32)), support=Support()
    )
    (least,) = memory(bench.run(probe.model_copy(update={"directions_per_pass": 1})))
    assert least.predicted_bytes is not None
    free = slopes(bench.run(probe))
    (most,) = memory(bench.run(probe.model_copy(update={"directions_per_pass": 32})))
    assert most.predicted_bytes is not None
    for room in (4 << 20, 16 << 20, 256 << 20):
        budget = least.predicted_bytes + room
        records = bench.run(probe, memory_bytes=budget)
        (record,) = memory(records)
        assert record.predicted_bytes is not None
        assert record.predicted_bytes <= budget
        assert record.vm_hwm_bytes <= 1.05 * budget
        np.testing.assert_allclose(slopes(records), free, rtol=1e-4)
    # With room for everything, all of it goes through at once.
    assert record.predicted_bytes == pytest.approx(most.predicted_bytes, rel=0.03)


@pytest.mark.parametrize("estimator", ["tangent", "central", "forward"])
def test_a_batch_in_parts_has_the_slopes_of_the_whole(tmp_path: Path, estimator: str) -> None:
    shape = Shape(layers=2, width=512, feed_forward=1024)
    bench = make_bench(tmp_path, shape)
    lengths = [90, 30, 61, 90, 7, 2, 90, 45]
    rows = [
        {"tokens": s[:-1], "targets": [-100] * (i % 4) + s[1 + i % 4 :]}
        for i, s in enumerate(random_sequences(lengths, shape.vocabulary))
    ]
    rows[5] = {"tokens": [3, 4], "targets": [-100, -100]}
    bench.write_rows(rows)
    probe = ProbeTask(
        batch=tuple(range(8)),
        estimator=estimator,  # type: ignore[arg-type]
        epsilon=1e-2,
        directions=tuple(range(10)),
        directions_per_pass=4,
    )
    whole = bench.run(probe)
    (needed,) = memory(whole)
    (longest,) = memory(bench.run(probe.model_copy(update={"batch": (0,)})))
    assert needed.predicted_bytes is not None and longest.predicted_bytes is not None
    budget = longest.predicted_bytes + (4 << 20)
    assert budget < needed.predicted_bytes
    parts = bench.run(probe, memory_bytes=budget)
    (taken,) = memory(parts)
    assert taken.predicted_bytes is not None and taken.predicted_bytes <= budget
    exact = estimator == "tangent"
    np.testing.assert_allclose(slopes(parts), slopes(whole), rtol=1e-4 if exact else 0.02)


@pytest.mark.parametrize(
    ("budget", "at_once", "message"),
    [
        (20_000_000, 64, "ask for fewer directions_per_pass"),
        (12_000_000, None, "allow more, or give it shorter examples"),
        (1_000_000, None, "the weights need"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, budget: int, at_once: int | None, message: str
) -> None:
    bench = make_bench(tmp_path, Shape(layers=2, vocabulary=2000))
    bench.write_examples(random_sequences([90] * 8, 2000))
    probe = ProbeTask(
        batch=tuple(range(8)),
        estimator="tangent",
        directions=tuple(range(64)),
        directions_per_pass=at_once,
    )
    done = run_job(bench.job(probe, memory_bytes=budget))
    assert done.returncode == 1
    with pytest.raises(RunnerFailedError, match=message):
        parse_records(done.stdout, device="local")


def test_an_example_without_a_target_may_be_kept(bench: Bench) -> None:
    bench.write_rows(
        [
            {"tokens": [5, 6, 7], "targets": [-100, -100, -100]},
            {"tokens": [5, 6], "targets": [-100, 9]},
        ]
    )
    records = bench.run(PROBE.model_copy(update={"batch": (0, 1)}), prefix=KEPT)
    assert prefixes(records) == [(2, 0)]
