"""A plan in a file and the same from options."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from device_bench.errors import SweepSettingsError
from device_bench.plans.bench_plan import BenchPlan
from device_bench.plans.cores import Placements
from exporters.errors import ContractError, ExportError
from tests.device_bench.fake_timing_runner import FakeInstalledRunner

PLAN = """
bundles: [q8, ../f32, /models/f16]
backends: [cpu, vulkan]
batch: [1, 16]
tokens: [32]
directions: [8]
estimator: [tangent, central]
layers: [all, "last:2", 4-5]
threads: [1, cores]
cores: [0xf0, any, "fastest"]
blocks: 4
most_blocks: 9
precision: 0.1
seed: 7
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "plan.yaml"
    path.write_text(text)
    return path


def test_a_file_says_the_same_as_options(tmp_path: Path) -> None:
    plan = BenchPlan.read(write(tmp_path, PLAN))

    assert plan == BenchPlan().changed(
        {
            "bundles": [tmp_path / "q8", tmp_path / "../f32", Path("/models/f16")],
            "backends": ["cpu", "vulkan"],
            "batch": [1, 16],
            "tokens": [32],
            "directions": [8],
            "estimator": ["tangent", "central"],
            "layers": ["all", "last:2", "4-5"],
            "threads": [1, "cores"],
            "cores": ["0xf0", "any", "fastest"],
            "blocks": 4,
            "most_blocks": 9,
            "precision": 0.1,
            "seed": 7,
        }
    )


@pytest.mark.parametrize(
    ("text", "above"), [("off", "off"), ('"off"', "off"), ("41.5", 41.5), ("null", None)]
)
def test_a_file_says_how_hot_a_device_may_be(tmp_path: Path, text: str, above: object) -> None:
    assert BenchPlan.read(write(tmp_path, f"cooldown_above: {text}")).cooldown_above == above


def test_an_empty_file_is_the_usual_plan(tmp_path: Path) -> None:
    assert BenchPlan.read(write(tmp_path, "# nothing yet\n")) == BenchPlan()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("batches: [1]", "it has a field batches, which is not known"),
        ("batch: [0]", "batch.0: Input should be greater than 0"),
        ("batch: []", "batch: Tuple should have at least 1 item"),
        ("tokens: 32", "tokens: Input should be a valid array"),
        ("estimator: [backprop]", "estimator.0: Input should be 'central'"),
        ("threads: [all]", "threads.0"),
        ("precision: .nan", "precision"),
        ("blocks: 5\nmost_blocks: 4", "5 blocks at least, 4 at most"),
        ("schema_version: 2", "schema version 2, this fwdllm reads version 1"),
        ("- batch", "not a valid bench plan"),
        ("batch: [1", "is not YAML: while parsing"),
        ("a: !!python/object:os.system x", "is not YAML"),
        ("batch: [1]\nbatch: [4]", "batch is there twice"),
        ("2026-01-01: 1", "is not YAML"),
        ("a: 2026-13-01", "is not YAML"),
        ("a: !!bool x", "is not YAML"),
        ("a: !!timestamp x", "is not YAML"),
        ("a: &a [*a]", "is not YAML"),
        ("[" * 2000, "is not YAML"),
        ("warmup_seconds: .inf", "warmup_seconds"),
        ("warmup_seconds: 3601", "warmup_seconds"),
        ("blocks: 1001", "blocks"),
        ("cooldown_above: on", "cooldown_above"),
        ("cooldown_above: 100", "cooldown_above"),
        ("cooldown_patience: .nan", "cooldown_patience"),
        ("sustained_minutes: 0", "sustained_minutes"),
        ('sustained_arm: "1,32,1"', "sustained_arm without sustained_minutes"),
    ],
)
def test_what_is_no_plan_is_refused_with_its_file(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, text)

    with pytest.raises(ContractError) as caught:
        BenchPlan.read(path)

    assert said in caught.value.message and caught.value.file == path and caught.value.remedy


@pytest.mark.parametrize("path", ["missing.yaml", "."])
def test_a_file_that_is_not_there_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ContractError, match="cannot read the bench plan"):
        BenchPlan.read(tmp_path / path)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"precision": 0.0}, "precision = 0.0"),
        ({"estimator": ["central", "all"]}, "estimator.1 = 'all'"),
        ({"threads": [0]}, "threads.0 = 0"),
        ({"threads": ["x"]}, "threads.0 = 'x'"),
        ({"blocks": 9, "most_blocks": 8}, "9 blocks at least, 8 at most"),
    ],
)
def test_an_option_that_is_out_of_range_is_refused_by_name(settings: dict, named: str) -> None:
    with pytest.raises(SweepSettingsError) as caught:
        BenchPlan().changed(settings)
    assert named in caught.value.message


def test_a_bundles_sweep_has_every_combination(tmp_path: Path) -> None:
    manifest = FakeInstalledRunner().bundle.manifest
    plan = BenchPlan.read(write(tmp_path, PLAN))

    sweep = plan.for_bundle(manifest, Placements(pairs=((4, "0xf0"), (1, None))))

    assert len(sweep.arms) == 2 * 1 * 1 * 2 * 2 * 2  # of six layers the last two are 4-5
    assert {arm.placement for arm in sweep.arms} == {(4, "0xf0"), (1, None)}
    assert (sweep.blocks, sweep.most_blocks, sweep.precision, sweep.seed) == (4, 9, 0.1, 7)


@pytest.mark.parametrize(("blocks", "most"), [(6, 12), (20, 20)])
def test_the_most_blocks_are_no_fewer_than_the_least(blocks: int, most: int) -> None:
    manifest = FakeInstalledRunner().bundle.manifest
    plan = BenchPlan().changed({"blocks": blocks})
    assert plan.for_bundle(manifest, Placements(pairs=((1, None),))).most_blocks == most


def test_layers_outside_the_model_are_refused() -> None:
    manifest = SimpleNamespace(architecture=SimpleNamespace(layers=6))
    plan = BenchPlan().changed({"layers": ["last:7"]})
    with pytest.raises(ExportError, match="do not exist"):
        plan.for_bundle(manifest, Placements(pairs=((1, None),)))
