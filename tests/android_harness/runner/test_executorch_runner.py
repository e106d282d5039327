"""The runner for ExecuTorch's programs beside ggml's, PyTorch's exact slopes and its own limits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from android_harness.errors import RunnerFailedError
from android_harness.examples import NO_LOSS, Example, write_examples
from android_harness.fake_phone import FakePhone
from android_harness.job import (
    AlongTask,
    EvaluateTask,
    Job,
    PrefixPolicy,
    ProbeTask,
    Task,
    TimeTask,
    VerbalizerLoss,
    Warmup,
)
from android_harness.records import (
    AlongRecord,
    EvaluationRecord,
    HelloRecord,
    LoadRecord,
    MemoryRecord,
    OperatorsRecord,
    PaceRecord,
    Phase,
    ProbeRecord,
    Record,
    SampleRecord,
    WarmupRecord,
)
from android_harness.runs.installed_runner import InstalledRunner, install_runner
from android_harness.targets.local_target import LocalTarget
from android_harness.targets.open_target import open_target
from exporters.adapter_values import adapter_values
from exporters.durable_files import sha256_of
from exporters.errors import FwdllmError
from exporters.lora.combination import Combination
from exporters.lora.support import Support
from exporters.manifest import Bundle
from tests.android_harness.runner.runner_models import run_job
from tests.exporters.models import VOCABULARY_SIZE
from tests.twin_bundles import LONG, SHORT, TANGENT_SLOTS, TwinBundles

pytestmark = pytest.mark.usefixtures("runner_binary", "executorch_runner_binary")

LABELS = (17, 5, 40)
SEEDS = (1, 2, 3, 4, 5)
# Of every length, with a loss at the last position (a label), and at some or all others.
GENERATOR = np.random.default_rng(3)
LENGTHS = (8, 24, 5, 8, 1, 17, 8)


def classified(length: int) -> Example:
    tokens = GENERATOR.integers(3, VOCABULARY_SIZE, length).tolist()
    return Example(tuple(tokens), (*[NO_LOSS] * (length - 1), int(GENERATOR.choice(LABELS))))


def predicted(length: int) -> Example:
    tokens = GENERATOR.integers(3, VOCABULARY_SIZE, length + 1).tolist()
    return Example(tuple(tokens[:-1]), tuple(tokens[1:]))


CLASSIFIED = [classified(length) for length in LENGTHS]
WHOLE_TEXTS = [predicted(length) for length in LENGTHS]
EVERY = tuple(range(len(LENGTHS)))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("executorch")
    write_examples(folder / "classified.jsonl", CLASSIFIED)
    write_examples(folder / "texts.jsonl", WHOLE_TEXTS)
    return folder


@pytest.fixture(scope="module")
def pte(twins: TwinBundles, here: Path) -> InstalledRunner:
    return install_runner(LocalTarget(here / "pte"), twins.executorch)


@pytest.fixture(scope="module")
def ggml(twins: TwinBundles, here: Path) -> InstalledRunner:
    return install_runner(LocalTarget(here / "ggml"), twins.gguf)


def run(runner: InstalledRunner, examples: Path, *tasks: Task, **options: Any) -> list[Record]:
    return runner.run(examples=examples, tasks=tasks, threads=1, **options)


def slopes(records: Sequence[Record]) -> list[float]:
    return [record.slope for record in records if isinstance(record, ProbeRecord | AlongRecord)]


def only(records: Sequence[Record], kind: Any) -> Any:
    (found,) = (record for record in records if isinstance(record, kind))
    return found


@pytest.mark.parametrize(
    ("examples", "loss"),
    [
        ("classified.jsonl", VerbalizerLoss(tokens=LABELS)),
        ("classified.jsonl", VerbalizerLoss(tokens=LABELS, shifts=(0.5, -1.0, 0.25))),
        ("classified.jsonl", None),
        ("texts.jsonl", None),
    ],
)
def test_both_engines_compute_the_same(
    pte: InstalledRunner, ggml: InstalledRunner, here: Path, examples: str, loss: Any
) -> None:
    """Batches of odd sizes and lengths, with more losses than a program takes, either loss."""
    tasks = (
        EvaluateTask(batch=EVERY),
        ProbeTask(batch=EVERY, estimator="tangent", directions=SEEDS),
        ProbeTask(
            batch=(6, 1, 2), estimator="tangent", directions=SEEDS, distribution="gaussian",
            support=Support(layers=(1, 1), matrices="B"),
        ),
    )  # fmt: skip
    of_pte, of_ggml = (run(runner, here / examples, *tasks, loss=loss) for runner in (pte, ggml))

    evaluation, expected = (only(records, EvaluationRecord) for records in (of_pte, of_ggml))
    assert evaluation.loss == pytest.approx(expected.loss, rel=1e-5)
    assert evaluation.positions == expected.positions
    assert evaluation.predictions == expected.predictions
    np.testing.assert_allclose(slopes(of_pte), slopes(of_ggml), rtol=1e-3, atol=2e-5)


def test_tangents_are_the_exact_slopes_of_pytorch(
    pte: InstalledRunner, twins: TwinBundles, here: Path
) -> None:
    parity = twins.executorch.manifest.parity
    assert parity is not None and parity.reference is not None
    reference = parity.reference
    rows = [Example(row[:-1], row[1:]) for row in reference.sequences]
    write_examples(here / "reference.jsonl", rows)
    batch = tuple(range(len(rows)))
    records = run(
        pte, here / "reference.jsonl",
        EvaluateTask(batch=batch),
        ProbeTask(batch=batch, estimator="tangent", directions=reference.directions),
    )  # fmt: skip

    # What Python's runtime computed of the same programs, and what PyTorch did.
    assert only(records, EvaluationRecord).loss == pytest.approx(parity.artifact_loss, rel=1e-7)
    np.testing.assert_allclose(slopes(records), reference.slopes, rtol=1e-4, atol=1e-5)


def test_the_estimators_agree(pte: InstalledRunner, here: Path) -> None:
    batch = (0, 2, 3)
    records = run(
        pte, here / "classified.jsonl",
        ProbeTask(batch=batch, estimator="tangent", directions=SEEDS),
        ProbeTask(batch=batch, estimator="central", epsilon=3e-3, directions=SEEDS),
        ProbeTask(batch=batch, estimator="forward", epsilon=1e-3, directions=SEEDS),
    )  # fmt: skip
    tangent, central, forward = np.array(slopes(records)).reshape(3, len(SEEDS))

    assert np.linalg.norm(central - tangent) < 0.01 * np.linalg.norm(tangent)
    assert np.linalg.norm(forward - tangent) < 0.1 * np.linalg.norm(tangent)
    probes = [record for record in records if isinstance(record, ProbeRecord)]
    (at_theta,) = {probe.loss_minus for probe in probes if probe.task == 2}
    assert at_theta == pytest.approx(probes[0].loss_plus, rel=1e-6)


@pytest.mark.parametrize("at_once", [1, 2, 4, 64])
@pytest.mark.parametrize("estimator", ["tangent", "central"])
def test_slopes_do_not_depend_on_how_many_are_measured_at_once(
    pte: InstalledRunner, here: Path, estimator: Any, at_once: int
) -> None:
    def measured(directions_per_pass: int | None) -> list[float]:
        task = ProbeTask(
            batch=EVERY, estimator=estimator, epsilon=0.01, directions=SEEDS,
            directions_per_pass=directions_per_pass,
        )  # fmt: skip
        return slopes(run(pte, here / "classified.jsonl", task))

    np.testing.assert_allclose(measured(at_once), measured(None), rtol=1e-4, atol=1e-4)


def test_a_batch_is_the_mean_of_its_positions(pte: InstalledRunner, here: Path) -> None:
    lines = EVERY
    tasks = [EvaluateTask(batch=(line,)) for line in lines] + [EvaluateTask(batch=lines)]
    records = run(pte, here / "texts.jsonl", *tasks)

    *singles, whole = (record for record in records if isinstance(record, EvaluationRecord))
    positions = [single.positions for single in singles]
    assert positions == list(LENGTHS)
    mean = np.average([single.loss for single in singles], weights=positions)
    assert whole.loss == pytest.approx(float(mean), rel=1e-6)
    assert whole.predictions == tuple(p for single in singles for p in single.predictions)


def test_the_slope_along_a_file_is_that_of_its_direction(
    pte: InstalledRunner, twins: TwinBundles, here: Path
) -> None:
    layout = twins.executorch.manifest.lora
    vector = np.zeros(layout.parameters, dtype="<f4")
    vector[layout.tensors[-1].slice] = 0.5
    (here / "u.f32").write_bytes(vector.tobytes())
    tasks = [
        AlongTask(batch=(0, 1), estimator="tangent", direction="u.f32"),
        AlongTask(batch=(0, 1), estimator="central", epsilon=0.01, direction="u.f32"),
    ]
    records = run(pte, here / "classified.jsonl", *tasks, files={"u.f32": here / "u.f32"})

    exact, difference = slopes(records)
    assert exact != 0
    assert difference == pytest.approx(exact, rel=0.01)


def test_updates_make_the_same_bits_on_both_engines(
    pte: InstalledRunner, ggml: InstalledRunner, twins: TwinBundles, here: Path
) -> None:
    seeds = tuple(range(len(twins.executorch.manifest.lora.tensors)))
    updates = (
        Combination(pairs=((7, 0.013), (8, -3e-4), (seeds, 0.5))),
        Combination(support=Support(layers=(1, 1), matrices="B"), pairs=((9, 1e-3),)),
    )
    written = []
    for runner in (pte, ggml):
        out = runner.state_path("after.f32")
        records = run(runner, here / "classified.jsonl", updates=updates, lora_values_out=out)
        runner.fetch(out, here / f"{runner.engine}.f32")
        written.append((here / f"{runner.engine}.f32").read_bytes())
        again = run(runner, here / "classified.jsonl", lora_values=out)
        assert only(records, LoadRecord).lora_sha256 == only(again, LoadRecord).lora_sha256

    assert written[0] == written[1]
    assert written[0] != adapter_values(twins.executorch).astype("<f4").tobytes()


def test_the_records_say_what_computed(pte: InstalledRunner, here: Path) -> None:
    records = run(pte, here / "classified.jsonl", EvaluateTask(batch=(0,)), cpu_mask="0x1")

    hello, load = only(records, HelloRecord), only(records, LoadRecord)
    assert (hello.engine, hello.engine_version) == ("executorch", "1.4.1")
    assert "XnnpackBackend" in hello.devices[0].description
    assert (load.backend, load.threads, load.cpu_mask) == ("xnnpack", 1, "0x1")
    assert load.weight_bytes > 0
    assert only(records, MemoryRecord).predicted_bytes is None


def test_operators_are_timed(pte: InstalledRunner, here: Path) -> None:
    timing = TimeTask(
        batch=(0, 3), estimator="tangent", directions_per_pass=TANGENT_SLOTS,
        warmup=Warmup(most_ms=600),
        repetitions=2, operators=True,
    )  # fmt: skip
    records = run(pte, here / "classified.jsonl", timing)

    phases = [r.phase for r in records if isinstance(r, SampleRecord)]
    assert phases == sorted(phases, key=get_args(Phase).index)
    assert phases.count("warmup") == only(records, WarmupRecord).repetitions > 0
    assert [r.when for r in records if isinstance(r, PaceRecord)] == ["before", "after"]
    samples = [r for r in records if isinstance(r, SampleRecord) and r.phase == "steady"]
    told = only(records, OperatorsRecord)
    runs = sum(sample.passes for sample in samples)
    assert told.directions == sum(sample.directions for sample in samples)
    by_name = {each.name: each for each in told.operators}
    assert by_name["aten::embedding.out"].place == "kernel"
    assert by_name["aten::embedding.out"].calls == runs
    delegated = [each for each in told.operators if each.place == "delegate"]
    assert delegated and all(each.name.startswith("XnnpackBackend") for each in delegated)
    assert sum(each.wall_ns for each in told.operators) < sum(s.wall_ns for s in samples)


def test_a_phone_is_sent_every_file_and_answers_alike(
    twins: TwinBundles, pte: InstalledRunner, here: Path
) -> None:
    task = ProbeTask(batch=EVERY, estimator="tangent", directions=SEEDS)
    with FakePhone() as phone, open_target(phone.target) as target:
        remote = install_runner(target, twins.executorch)
        records = run(remote, here / "classified.jsonl", task)

    assert slopes(records) == slopes(run(pte, here / "classified.jsonl", task))


# What it refuses -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"memory_bytes": 1 << 30}, "memory_bytes: a .pte does not tell"),
        ({"prefix": PrefixPolicy(bytes=1000)}, "prefix: a .pte runs all layers"),
    ],
)
def test_what_only_ggml_can_do_is_refused(
    pte: InstalledRunner, here: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(RunnerFailedError, match=said):
        run(pte, here / "classified.jsonl", EvaluateTask(batch=(0,)), **options)


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (
            ProbeTask(batch=(0,), estimator="tangent", directions=(1,), refine=True),
            "a .pte has no refined passes",
        ),
        (
            ProbeTask(
                batch=(0,), estimator="tangent", directions=(1,), support=Support(layers=(5, 6))
            ),
            "no layer from 5 to 6 is adapted",
        ),
        (EvaluateTask(batch=(99,)), "asks for line 99"),
    ],
)
def test_a_task_that_cannot_be_done_says_why(
    pte: InstalledRunner, here: Path, task: Task, said: str
) -> None:
    with pytest.raises(RunnerFailedError, match=said):
        run(pte, here / "classified.jsonl", task)


def test_an_example_longer_than_any_program_is_refused(pte: InstalledRunner, here: Path) -> None:
    write_examples(here / "long.jsonl", [predicted(LONG[1] + 1)])
    said = f"an example has {LONG[1] + 1} tokens, the longest program of this kind reads {LONG[1]}"
    with pytest.raises(RunnerFailedError, match=said):
        run(pte, here / "long.jsonl", EvaluateTask(batch=(0,)))


def test_ggml_does_not_tell_operators(ggml: InstalledRunner, here: Path) -> None:
    timing = TimeTask(batch=(0,), estimator="tangent", repetitions=1, operators=True)
    with pytest.raises(RunnerFailedError, match="ggml does not tell how long"):
        run(ggml, here / "classified.jsonl", timing)


def test_a_device_is_refused_for_a_bundle_with_its_backend(
    twins: TwinBundles, tmp_path: Path
) -> None:
    with pytest.raises(FwdllmError, match="the backend that it was exported for"):
        install_runner(LocalTarget(tmp_path), twins.executorch, device="vulkan")


@pytest.fixture
def changed(twins: TwinBundles, tmp_path: Path) -> Iterator[Any]:
    """Makes a copy of the bundle with a changed manifest, or a changed file."""

    def make(change: Any) -> Bundle:
        folder = tmp_path / "changed"
        folder.mkdir()
        for file in twins.executorch.manifest.files:
            path = folder / file.name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes((twins.executorch.folder / file.name).read_bytes())
        manifest = json.loads((twins.executorch.folder / "manifest.json").read_text())
        change(manifest, folder)
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return Bundle(folder)

    yield make


def _without(kind: str) -> Any:
    def change(manifest: Any, folder: Path) -> None:
        manifest["programs"] = [p for p in manifest["programs"] if p["kind"] != kind]

    return change


def _other_slots(manifest: Any, folder: Path) -> None:
    manifest["programs"][0]["slots"] += 1


def _other_method(manifest: Any, folder: Path) -> None:
    for program in manifest["programs"]:
        program["method"] += "x"


def _cut_weights(manifest: Any, folder: Path) -> None:
    path = folder / "weights.ptd"
    content = bytearray(path.read_bytes())
    content[8:12] = b"GGUF"
    path.write_bytes(content)
    for file in manifest["files"]:
        if file["name"] == path.name:
            file["sha256"] = sha256_of(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without("tangent"), "no program of the bundle computes tangents"),
        (_without("loss"), "no program of the bundle computes losses alone"),
        (_other_slots, "elements, its sizes make"),
        (_other_method, "does not load: .*No method named"),
        (_cut_weights, "not a .ptd file"),
    ],
)
def test_a_bundle_that_does_not_fit_is_refused(
    changed: Any, here: Path, tmp_path: Path, change: Any, said: str
) -> None:
    runner = install_runner(LocalTarget(tmp_path / "device"), changed(change))
    tasks = (
        EvaluateTask(batch=(0,)),
        ProbeTask(batch=(0,), estimator="tangent", directions=(1,)),
    )
    with pytest.raises(RunnerFailedError, match=said):
        run(runner, here / "classified.jsonl", *tasks)


def test_a_job_without_a_file_of_the_bundle_is_refused(
    twins: TwinBundles, here: Path, executorch_runner_binary: Path
) -> None:
    bundle = twins.executorch
    job = Job(
        model=str(bundle.folder / "manifest.json"),
        adapter=str(bundle.adapter),
        examples=str(here / "classified.jsonl"),
        threads=1,
    )
    job.write(here / "job.json")
    done = run_job(here / "job.json", executorch_runner_binary)
    assert done.returncode == 1
    assert "the job does not say where the bundle's file weights.ptd is" in done.stdout


def test_the_sizes_are_those_of_the_twins(twins: TwinBundles) -> None:
    """What the tests above rely on: neither size holds their batches exactly."""
    programs = twins.executorch.manifest.programs
    assert {(program.batch, program.length) for program in programs} == {SHORT, LONG}
