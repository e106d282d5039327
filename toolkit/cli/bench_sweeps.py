"""What `fwdllm bench` measures on a device, and how the sweeps report themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from android_harness.fleet.task_queue import Report
from android_harness.target import Target
from device_bench.conditions.job_boundaries import JobBoundaries
from device_bench.plans.bench_plan import BenchPlan
from device_bench.plans.sweep_plan import Arm, SweepPlan
from device_bench.profiles.profile import Profile
from device_bench.samples.samples_folder import SAMPLES_NAME, read_measurements
from device_bench.samples.sustained import LongRun, long_run_left
from device_bench.samples.time_left import TimeLeft, all_left, job_seconds, least_seconds, time_left
from device_bench.sweeps.bench_parts import BenchPart
from device_bench.sweeps.bundle_sweep import BundleSweep
from toolkit.cli.bench_cooldown import warmth
from toolkit.cli.clock_times import clock_text, span_text
from toolkit.cli.console import err
from toolkit.cli.fleet import install_and_report
from toolkit.cli.fleet_display import JOBS


def sweeps_on(
    target: Target,
    asked: BenchPlan,
    parts: Sequence[BenchPart],
    folder: Path,
    report: Report,
    *,
    profiles: Sequence[Profile],
    long_run: LongRun | None,
    timeout_s: float,
    patience_minutes: float,
) -> list[BundleSweep]:
    """The sweeps of all parts on the device, with what they need installed there.

    Says on stderr what the device cannot do, and how long the sweeps will take.

    Args:
        folder: of the device.
        profiles: earlier ones, to estimate the time from.
        long_run: of each sweep, at the end; counts in the time.

    Raises:
        DeviceError: something could not be placed.
        SweepSettingsError: nothing of what was asked for can be measured there.
    """
    sweeps: list[BundleSweep] = []
    before: list[TimeLeft] = []
    left_out: dict[str, None] = {}
    for part in parts:
        installed = install_and_report(
            target,
            part.bundle,
            report,
            part.device,
            accelerators=part.accelerators,
            patience_minutes=patience_minutes,
        )
        placements = asked.placements(installed.facts)
        left_out.update(dict.fromkeys(placements.left_out))
        plan = asked.for_bundle(part.bundle.manifest, placements)
        modelled = modelled_seconds(part, plan, profiles, target.name)
        sweep = BundleSweep(
            installed,
            plan,
            part.folder(parts, folder),
            profile_operators=asked.profile_operators and installed.engine == "executorch",
            timeout_s=timeout_s,
            modelled=modelled,
        )
        sweeps.append(sweep)
        before.append(left_in(sweep.folder, plan, modelled, long_run))
    for reason in left_out:
        say(target.name, f"left out, {reason}")
    say(target.name, estimate_text([sweep.plan for sweep in sweeps], all_left(before)))
    return sweeps


def modelled_seconds(
    part: BenchPart, plan: SweepPlan, profiles: Sequence[Profile], target: str
) -> dict[Arm, float]:
    """Seconds of each arm's job by an earlier profile, as far as that knows them."""
    backend = part.found_in(profiles, target)
    return {} if backend is None else job_seconds(plan, backend)


def left_in(
    folder: Path, plan: SweepPlan, modelled: Mapping[Arm, float], long_run: LongRun | None
) -> TimeLeft:
    """What a SAMPLES folder lacks of a sweep and its long run; all where there is none yet."""
    measurements = read_measurements(folder / SAMPLES_NAME)
    return all_left([time_left(plan, measurements, modelled), long_run_left(long_run, folder)])


def estimate_text(plans: Sequence[SweepPlan], left: TimeLeft) -> str:
    """How much is to be measured and how long that takes, as far as anything tells."""
    arms, (least, most) = sum(len(plan.arms) for plan in plans), left.jobs
    jobs = f"{arms} arms, {least} to {most} jobs left" if most > least else f"{least} jobs left"
    if left.seconds is not None:
        return f"{jobs}: {span_text(left.seconds)} (modelled)"
    shortest = clock_text(math.floor(least_seconds(plans[0], least)))
    return f"{jobs}: more than {shortest} (--minimum-ms); the first jobs will tell how long"


def say(device: str, text: str) -> None:
    """A line about a device on stderr."""
    err.print(f"{device}: {text}", highlight=False, markup=False, soft_wrap=True)


def on_progress(boundaries: JobBoundaries, report: Report) -> Callable[[str, int, TimeLeft], None]:
    """How sweeps report what they measure next, how long that takes, and how warm the device is."""

    def progressed(text: str, done: int, left: TimeLeft) -> None:
        report(JOBS, done, done + left.jobs[0], text, warmth(boundaries), left.seconds)

    return progressed
