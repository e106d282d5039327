"""The whole main job on the embedded default: every step a user would take, in order."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from android_harness.building.runner_build import build_runner
from android_harness.fake_phone import FakePhone
from android_harness.job import Warmup
from android_harness.runs.installed_runner import InstalledRunner, install_runner
from android_harness.targets.open_target import open_target
from device_bench.fitting.fit_profile import fit_profile
from device_bench.plans.sweep_plan import arms_of
from device_bench.profiles.profile import Profile
from device_bench.sweeps.sweep import run_sweep
from exporters.errors import FwdllmError
from exporters.gguf.export import LoraRequest, export_gguf
from exporters.manifest import Bundle
from exporters.tokenizer import load_tokenizer
from toolkit.allocation.allocate import allocate
from toolkit.allocation.contract import Allocation
from toolkit.data.task import TextSource, load_task
from toolkit.demo.corpus import labelled
from toolkit.demo.model import make_model
from toolkit.report.write import write_report
from toolkit.server_update.trust_ratio import TrustRatioStep
from toolkit.training.contract import TrainingConfig
from toolkit.training.run_on_fleet import TrainingResult
from toolkit.training.train import TrainingData, train

_MARKER = ".fwdllm-demo"  # in every folder that a demo made
_ROWS = 2000
_HELD_OUT = 200
_MAX_TOKENS = 24
_WARMUP = Warmup(most_ms=6000)
_SAMPLE_MS = 200  # averages over the stops that slow the fake phone down
_SLOWDOWN = 3.0  # of the fake phone, so that the allocation has a choice
# Few parameters, many probes and a large alpha: a forward gradient of N probes over p parameters
# has a cosine of about sqrt(N/p) with the gradient, and the demo has a minute.
_LORA = LoraRequest(rank=2, alpha=32.0, targets=("q_proj", "v_proj"), layers="last:2")
_CONFIG = TrainingConfig(
    rounds=40,
    probes=128,
    batch=32,
    update=TrustRatioStep(ratio=0.2),
    evaluate_every=5,
)


@dataclass(frozen=True)
class DemoResult:
    """What the demo made, and where its report is."""

    bundle: Bundle
    profiles: list[Profile]
    allocation: Allocation
    training: TrainingResult
    report: Path


def run_demo(
    out: Path,
    *,
    on_step: Callable[[str], None],
    on_output: Callable[[str], None],
    on_progress: Callable[[str, int, int], None],
) -> DemoResult:
    """Makes a model and data, then exports, pushes, benches, profiles, allocates and trains.

    Args:
        out: a folder for everything; what an earlier demo made there is replaced.
        on_step: called with what happens next, in words.
        on_output: called with each line of the runner's build, when it has to be built.

    Raises:
        FwdllmError: `out` holds something else, or a step failed.
    """
    _refuse_foreign_folder(out)
    shutil.rmtree(out, ignore_errors=True)  # or its samples and rounds would go on
    out.mkdir(parents=True, exist_ok=True)
    (out / _MARKER).touch()
    on_step("building the native runner")
    build_runner(on_output=on_output)

    on_step("making a small LLaMA and a news corpus of four topics")
    model, data = out / "model", out / "news.csv"
    make_model(model)
    _write_corpus(data)

    on_step("exporting a q8_0 GGUF bundle with a fresh LoRA")
    bundle = export_gguf(
        str(model), out / "bundle", quantization="q8_0", lora=_LORA, on_progress=on_progress
    )

    with FakePhone(slowdown=_SLOWDOWN) as phone, open_target("local") as local:
        on_step(f"pushing to local and to {phone.target}, a fake phone {_SLOWDOWN:g} times slower")
        with open_target(phone.target) as remote:
            runners = [install_runner(target, bundle) for target in (local, remote)]
            return _measure_and_train(out, bundle, data, runners, on_step, on_progress)


def _measure_and_train(
    out: Path,
    bundle: Bundle,
    data: Path,
    runners: list[InstalledRunner],
    on_step: Callable[[str], None],
    on_progress: Callable[[str, int, int], None],
) -> DemoResult:
    profiles, samples, profile_paths = [], [], []
    for name, runner in zip(("local", "fake-phone"), runners, strict=True):
        on_step(f"timing perturbed inference on {runner.target.name}")
        folder = out / f"samples-{name}"
        run_sweep(
            runner,
            arms_of(
                [8, _CONFIG.batch],
                [_MAX_TOKENS // 2, _MAX_TOKENS],
                [1, 8],
                [_CONFIG.estimator],
                placements=[(_CONFIG.threads, None)],
            ),
            folder,
            warmup=_WARMUP,
            minimum_ms=_SAMPLE_MS,
            on_progress=lambda arm, done, left: on_progress("sweep", done, done + left.jobs[0]),
        )
        profile = fit_profile(folder, now=datetime.now(UTC))
        profile.write(out / f"profile-{name}.json")
        samples.append(folder)
        profiles.append(profile)
        profile_paths.append(out / f"profile-{name}.json")

    on_step(f"allocating {_CONFIG.probes} probes over the two devices")
    allocation = allocate(
        profiles,
        probes=_CONFIG.probes,
        batch=_CONFIG.batch,
        tokens=_MAX_TOKENS,
        estimator=_CONFIG.estimator,
        directions_per_pass=(1, 8),
        now=datetime.now(UTC),
    )
    allocation.write(out / "allocation.json")

    on_step(f"training for {_CONFIG.rounds} rounds: seeds go down, slopes come up")
    task = load_task(
        TextSource(data, ["text"], "topic"),
        load_tokenizer(bundle),
        held_out=_HELD_OUT,
        template="{text} topic :",
        max_tokens=_MAX_TOKENS,
    )
    run = out / "run"
    training = train(
        runners,
        bundle=bundle,
        data=TrainingData(task.examples, task.rows, task.held_out),
        config=_CONFIG.model_copy(update={"loss": task.loss}),
        out=run,
        allocation=allocation,
        on_round=lambda record: on_progress("rounds", record.round, _CONFIG.rounds),
    )

    on_step("writing the report")
    report = out / "report.html"
    write_report(
        [bundle.folder, *samples, *profile_paths, out / "allocation.json", run],
        report,
        title="fwdllm demo",
    )
    return DemoResult(bundle, profiles, allocation, training, report)


def _write_corpus(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "topic"))
        writer.writerows(labelled(_ROWS, seed=1))


def _refuse_foreign_folder(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()) and not (out / _MARKER).is_file():
        raise FwdllmError(
            "this folder holds something other than an earlier demo",
            remedy="choose a new folder for the demo",
            file=out,
        )
