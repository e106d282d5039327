"""Samples joined with telemetry on the device's clock."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from android_harness.telemetry.records import (
    TELEMETRY_NAME,
    TelemetryBegin,
    TelemetryIdle,
    TelemetryReading,
    TelemetryRecord,
)
from device_bench.fitting.arm_energy import SHORTEST_JOB_S, ArmEnergy, arm_energies
from device_bench.fitting.fit_profile import fit_profile
from device_bench.plans.sweep_plan import Arm, Slot, arms_of
from device_bench.samples.measurement import Measurement, Sample
from device_bench.samples.samples_folder import read_telemetry
from device_bench.sweeps.sweep import run_sweep
from tests.device_bench.fake_timing_runner import FakeInstalledRunner
from tests.device_bench.made_samples import made_measurement

S = 1_000_000_000
ARMS = arms_of([1, 4], [16], [1], ["central"])
IDLE_WATTS = 0.5
WATTS = {ARMS[0]: 2.5, ARMS[1]: 4.5}


def job(arm: Arm, block: int, start_s: int, *, seconds: int = 20, probes: int = 5) -> Measurement:
    """Two steady repetitions that take `seconds` together, after one of warm-up."""
    samples = [
        Sample(
            phase=phase,
            repetition=repetition,
            directions=probes,
            passes=2 * probes,
            start_ns=start_s * S + half * seconds * S // 2,
            wall_ns=seconds * S // 2,
            cpu_ns=0,
        )
        for phase, repetition, half in (("warmup", 0, -1), ("steady", 0, 0), ("steady", 1, 1))
    ]
    slot = Slot(block=block, arm=ARMS.index(arm))
    now = datetime.now(UTC)
    return made_measurement(arm, samples, slot=slot, position=block, measured_at=now)


JOBS = [job(ARMS[block % 2], block, 40 * block + 60) for block in range(6)]


def record(
    folder: Path,
    jobs: list[Measurement],
    *,
    idle: bool = True,
    plugged: float = 0.0,
    gap_s: tuple[int, int] = (0, 0),
) -> None:
    """A phone of 4 V that takes `WATTS` from the first sample of a job to its end."""
    records: list[TelemetryRecord] = [
        TelemetryBegin(target="local", boot_id="one", started_at=datetime.now(UTC), sensors=())
    ]
    if idle:
        records.append(TelemetryIdle(start_ns=5 * S, end_ns=25 * S))
    for second in range(400):
        if gap_s[0] <= second < gap_s[1]:
            continue
        working = [
            WATTS[each.arm]
            for each in jobs
            if each.samples[0].start_ns - S <= second * S
            and second * S <= each.samples[-1].start_ns + each.samples[-1].wall_ns + S
        ]
        values = {
            "current_raw.battery": -(working[0] if working else IDLE_WATTS) / 4 * 1e6,
            "voltage_raw.battery": 4e6,
            "plugged.usb": plugged,
        }
        records.append(TelemetryReading(uptime_ns=second * S, values=values))
    lines = "".join(each.model_dump_json() + "\n" for each in records)
    (folder / TELEMETRY_NAME).write_text(lines)


def joules(energy: ArmEnergy) -> float:
    assert energy.joules_per_probe is not None, energy.reasons
    return energy.joules_per_probe.value


def test_joules_per_probe_are_net_of_idle(tmp_path: Path) -> None:
    record(tmp_path, JOBS)

    energies = arm_energies(read_telemetry(tmp_path), JOBS)

    for arm, energy in energies.items():
        assert joules(energy) == pytest.approx((WATTS[arm] - IDLE_WATTS) * 20 / 10)
        assert (energy.jobs, energy.reasons) == (3, ())


def test_a_job_with_a_gap_does_not_count(tmp_path: Path) -> None:
    record(tmp_path, JOBS, gap_s=(62, 75))  # in the first job of the first arm

    first, second = arm_energies(read_telemetry(tmp_path), JOBS).values()

    assert (first.jobs, second.jobs) == (2, 3)
    assert joules(first) == pytest.approx((WATTS[ARMS[0]] - IDLE_WATTS) * 2)
    assert "of the interval" in first.reasons[0]


def test_jobs_that_a_gauge_cannot_resolve_do_not_count(tmp_path: Path) -> None:
    short = [job(ARMS[0], 0, 60, seconds=int(SHORTEST_JOB_S) - 1)]
    record(tmp_path, short)

    (energy,) = arm_energies(read_telemetry(tmp_path), short).values()

    assert energy.joules_per_probe is None and "shorter" in energy.reasons[0]


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"idle": False}, "no idle baseline"), ({"plugged": 1.0}, "externally powered")],
)
def test_what_cannot_be_measured_is_none_with_a_reason(
    tmp_path: Path, settings: dict[str, float], said: str
) -> None:
    record(tmp_path, JOBS, **settings)  # type: ignore[arg-type]
    for energy in arm_energies(read_telemetry(tmp_path), JOBS).values():
        assert energy.joules_per_probe is None and said in energy.reasons[0]


def test_without_telemetry_a_profile_has_no_joules(tmp_path: Path) -> None:
    run_sweep(FakeInstalledRunner(), ARMS, tmp_path)
    profile = fit_profile(tmp_path, now=datetime.now(UTC))
    assert [arm.joules_per_probe for arm in profile.backends[0].arms] == [None, None]


def test_a_profile_carries_the_joules_of_its_arms(tmp_path: Path) -> None:
    run_sweep(FakeInstalledRunner(), ARMS, tmp_path)
    lines = "".join(each.model_dump_json() + "\n" for each in JOBS)
    (tmp_path / "samples.jsonl").write_text(lines)
    record(tmp_path, JOBS)

    (backend,) = fit_profile(tmp_path, now=datetime.now(UTC)).backends

    told = [arm.joules_per_probe.value for arm in backend.arms if arm.joules_per_probe]
    assert told == pytest.approx([4.0, 8.0])
    # 2 and 4 W, so that either is a poor guess of the other.
    assert backend.energy is not None
    assert (backend.energy.watts.value, backend.energy.arms) == (pytest.approx(3.0), 2)
    assert backend.energy.median_relative_error == pytest.approx((1.0 + 0.5) / 2)
