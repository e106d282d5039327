"""Samples, telemetry, allocations and runs to report on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from made_profiles import arm, cost, profile, slope_errors

from android_harness.telemetry.records import (
    TELEMETRY_NAME,
    TelemetryBegin,
    TelemetryReading,
    TelemetryRecord,
)
from device_bench.conditions.job_conditions import Boundary, JobConditions
from device_bench.plans.sweep_plan import arms_of
from device_bench.profiles.profile import Profile
from device_bench.samples.samples_folder import (
    SAMPLES_NAME,
    SUSTAINED_NAME,
    append_measurement,
    read_measurements,
)
from device_bench.sweeps.sweep import run_sweep
from tests.device_bench.fake_numbers import FakeNumbers
from tests.device_bench.fake_timing_runner import EXACT, PARITY, FakeInstalledRunner
from toolkit.allocation.allocate import allocate
from toolkit.allocation.contract import Allocation
from toolkit.training.contract import (
    Evaluation,
    FlatLayout,
    RoundRecord,
    RunDescription,
    TrainingConfig,
)
from toolkit.training.run_folder import RunFolder

S = 1_000_000_000
# What an attacker may call a phone.
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>|$\\frac{1}$ `{{7*7}}` \x1b[2J"


def make_samples(
    folder: Path,
    *,
    drop_out_at: int | None = None,
    numbers: FakeNumbers | None = None,
    placements: Sequence[tuple[int, str | None]] = ((4, None),),
) -> Path:
    """A sweep of every estimator on a device whose times vary by 3 %.

    Args:
        numbers: what it computes; by default a loss with curvature and rounding.
    """
    numbers = numbers or FakeNumbers(exact=EXACT)
    runner = FakeInstalledRunner(
        noise=0.03, parity=PARITY, drop_out_at=drop_out_at, numbers=numbers
    )
    arms = arms_of(
        [1, 4], [16, 64], [1, 8], ["central", "forward", "tangent"], placements=placements
    )
    run_sweep(runner, arms, folder)
    return folder


def make_telemetry(folder: Path, *, boots: tuple[str, ...] = ("one",), seconds: int = 300) -> Path:
    """A device that heats up and slows down, of which a poller saw some minutes."""
    path = folder / TELEMETRY_NAME
    records: list[TelemetryRecord] = []
    for boot in boots:
        records.append(
            TelemetryBegin(
                target="adb:FAKE", boot_id=boot, started_at=datetime.now(UTC), sensors=()
            )
        )
        records += [
            TelemetryReading(
                uptime_ns=second * S,
                values={
                    "temperature_celsius.skin": 30 + min(second, 300) / 30,
                    "temperature_celsius.cpu-0-0": 45 + min(second, 300) / 10 + second % 7,
                    "thermal_status.device": 0 if second < 150 else 2,
                    "frequency_hertz.policy0": 1.8e9 if second < 150 else 1.2e9,
                    "memory_available_bytes.device": 3e9 - 1e6 * second,
                },
            )
            for second in range(0, seconds, 2)
        ]
    path.write_text("".join(record.model_dump_json() + "\n" for record in records))
    return path


def make_profile(target: str, seconds: float = 1.0, **changes: object) -> Profile:
    """A profile with arms of two estimators and their errors."""
    arms = (
        arm(1, 2 * seconds, low=1.8 * seconds, high=2.3 * seconds, joules=3.0),
        arm(8, seconds, estimator="tangent", memory=200 << 20),
        arm(8, seconds / 3, estimator="tangent", layers=(4, 5)),
    )
    errors = slope_errors(central=0.2, tangent=0.02)
    settings = {"arms": arms, "tangents": cost(seconds), "errors": errors, **changes}
    return profile(target, seconds=seconds, measured=datetime.now(UTC), **settings)


def make_timeline(folder: Path) -> Path:
    """Lays the jobs of a sweep one after the other on the telemetry's clock.

    From 150 s on the device is hot: it says so, its cores are slower, and one job gives up waiting.
    """
    path = folder / SAMPLES_NAME
    jobs = read_measurements(path)
    spacing_ns = 280 * S // len(jobs)
    path.unlink()
    for number, job in enumerate(jobs):
        start_ns = 5 * S + number * spacing_ns
        hot = start_ns > 150 * S
        step_ns = spacing_ns // (2 * len(job.samples))
        cool = Boundary(celsius={"soc": 45.0}, thermal_status=0)
        warm = Boundary(celsius={"soc": 72.0}, thermal_status=2)
        conditions = JobConditions(
            before=warm if hot else cool,
            after=warm if hot else cool,
            gate="timed out" if number == len(jobs) - 1 else "cooled down" if hot else "cool",
            waited_s=12.0 if hot else 0.0,
        )
        changed = job.model_copy(
            update={
                "samples": tuple(
                    each.model_copy(update={"start_ns": start_ns + place * step_ns})
                    for place, each in enumerate(job.samples)
                ),
                "pace_before_ns": 1_300_000 if hot else 1_000_000,
                "pace_after_ns": 1_350_000 if hot else 1_010_000,
                "conditions": conditions,
            }
        )
        append_measurement(path, changed)
    return folder


def make_long_run(folder: Path, *, minutes: int = 12, slower: float = 1.4) -> Path:
    """A run of the sweep's largest arm on a device that slows down after a third of it."""
    jobs = read_measurements(folder / SAMPLES_NAME)
    job = max(jobs, key=lambda each: each.arm.batch * each.arm.tokens)
    like = job.samples[-1]
    generator = np.random.default_rng(5)
    probe_s = float(np.median(job.steady_seconds))
    samples = tuple(
        like.model_copy(
            update={
                "repetition": number,
                "start_ns": 400 * S + number * S,
                "wall_ns": int(
                    like.directions
                    * probe_s
                    * 1e9
                    * (1 + 0.01 * generator.standard_normal())
                    * (slower if number > 20 * minutes else 1)
                ),
            }
        )
        for number in range(60 * minutes)
    )
    append_measurement(folder / SUSTAINED_NAME, job.model_copy(update={"samples": samples}))
    return folder


def make_allocation(*profiles: Profile) -> Allocation:
    return allocate(
        profiles,
        probes=24,
        batch=4,
        tokens=32,
        estimator="tangent",
        directions_per_pass=(8,),
        fixed_s=0.5,
        quantile=0.9,
        now=datetime.now(UTC),
    )


def make_run(folder: Path, rounds: int) -> Path:
    """A run whose held-out loss falls, evaluated in every tenth round."""
    run = RunFolder(folder)
    folder.mkdir(parents=True)
    run.begin(
        RunDescription(
            run_id="run",
            created_at=datetime.now(UTC),
            model_sha256="a" * 64,
            initial_sha256="b" * 64,
            layout=FlatLayout(tensors=()),
            config=TrainingConfig(rounds=rounds),
            shares=(),
            held_out_sha256="c" * 64,
        ),
        np.zeros(1, np.float32),
    )
    for number in range(rounds + 1):
        evaluation = Evaluation(
            loss=2 - number / rounds, accuracy=number / rounds, positions=100, seconds=1
        )
        run.append(
            RoundRecord(
                round=number,
                loss=2.1 - number / rounds if number else None,
                probes=64 if number else 0,
                gradient_norm=1,
                values_norm=1,
                step_norm=0.1,
                values_sha256="d" * 64,
                seconds=1.5,
                bytes_down=100,
                bytes_up=50,
                evaluation=evaluation if number % 10 == 0 else None,
            )
        )
    return folder
