"""SAMPLES folders with chosen seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from android_harness.facts.device_facts import parse_device_facts
from android_harness.job import NO_WARMUP
from device_bench.plans.sweep_plan import Arm, Slot, sweep_plan
from device_bench.profiles.version_2 import COUNTING
from device_bench.samples.measurement import Measurement, Sample
from device_bench.samples.provenance import Sweep

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def arm(tokens: int, estimator: str = "central", threads: int = 4) -> Arm:
    return Arm(batch=1, tokens=tokens, directions_per_pass=1, estimator=estimator, threads=threads)


def write_samples(
    folder: Path,
    seconds: Mapping[Arm, Sequence[Sequence[float]]],
    *,
    target: str = "adb:FAKE",
    **sweep: Any,
) -> Path:
    """A folder whose arms have these seconds per probe: of each job, of each repetition."""
    folder.mkdir(parents=True)
    arms = tuple(seconds)
    Sweep(
        **{
            "target": target,
            "device": parse_device_facts(""),
            "bundle_sha256": "a" * 64,
            "runner_sha256": "b" * 64,
            "plan": sweep_plan(
                arms=arms,
                warmup=NO_WARMUP,
                repetitions=1,
                minimum_ms=0,
                blocks=1,
                most_blocks=1,
                precision=None,
                seed=0,
                loss_positions="last",
            ),
            "computes_on": None,
            "shape": COUNTING,
            "order": (),
            "hello": None,
            "started_at": NOW,
            "finished_at": NOW,
            **sweep,
        }
    ).write(folder / "sweep.json")
    lines = [
        measurement(arms.index(arm), arm, block, job).model_dump_json() + "\n"
        for arm, jobs in seconds.items()
        for block, job in enumerate(jobs)
    ]
    (folder / "samples.jsonl").write_text("".join(lines))
    return folder


def measurement(number: int, arm: Arm, block: int, seconds: Sequence[float]) -> Measurement:
    samples = [
        Sample(
            phase="steady",
            repetition=repetition,
            directions=1,
            passes=1,
            start_ns=0,
            wall_ns=round(value * 1e9),
            cpu_ns=0,
        )
        for repetition, value in enumerate(seconds)
    ]
    slot = Slot(block=block, arm=number)
    return made_measurement(arm, samples, slot=slot, position=100 * block + number)


def made_measurement(arm: Arm, samples: Sequence[Sample], **changes: Any) -> Measurement:
    """A job of the arm with these samples; everything else is the least, or as `changes` say."""
    return Measurement(
        **{
            "slot": Slot(block=0, arm=0),
            "position": 0,
            "arm": arm,
            "backend": "ggml-cpu",
            "threads": arm.threads,
            "cpu_mask": arm.cpu_mask,
            "load_wall_ns": 1,
            "load_cpu_ns": 0,
            "weight_bytes": 0,
            "vm_hwm_bytes": 1,
            "rss_anon_bytes": 0,
            "rss_file_bytes": 0,
            "warmup_settled": True,
            "pace_before_ns": 1,
            "pace_after_ns": 1,
            "measured_at": NOW,
            "host_seconds": 1.0,
            "samples": tuple(samples),
            **changes,
        }
    )
