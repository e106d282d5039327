"""The targets that a command was given: one with the runner installed, or all of them at work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from android_harness.building.accelerators import Accelerator
from android_harness.errors import DeviceError
from android_harness.fleet.device_pool import run_tasks
from android_harness.fleet.device_worker import Patience
from android_harness.fleet.events import FleetEvent, TaskDone, TaskUndone
from android_harness.fleet.task_queue import FleetTask, Report
from android_harness.runs.detached_run import PATIENCE_S
from android_harness.runs.installed_runner import InstalledRunner, install_runner
from android_harness.target import Target
from android_harness.targets.open_target import open_target
from exporters.errors import FwdllmError
from exporters.manifest import Bundle
from toolkit.cli.console import OnProgress, print_error
from toolkit.cli.fleet_display import fleet_display

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What came of the work on one device: a result, or the error for which there is none."""

    spec: str
    result: T | None = None
    error: BaseException | None = None


def on_each_device(
    specs: Sequence[str],
    work: Callable[[str, Target, Report], T],
    *,
    patience_minutes: float,
    measuring: bool = False,
) -> list[Outcome[T]]:
    """Does the work once on each device, at the same time, and shows how far they are.

    Args:
        work: called with the specification, the target and how to report; again after a failure
            that may pass.
        patience_minutes: how long a device that was lost is looked for.
        measuring: those on one kernel take turns; see `run_tasks`.
    """
    outcomes: dict[str, Outcome[T]] = {}

    def task_for(spec: str) -> FleetTask:
        return FleetTask(spec, lambda target, report: work(spec, target, report), device=spec)

    with fleet_display(specs) as show:

        def on_event(event: FleetEvent) -> None:
            show(event)
            if isinstance(event, TaskDone):
                outcomes[event.task] = Outcome(event.task, result=event.result)
            elif isinstance(event, TaskUndone):
                outcomes[event.task] = Outcome(event.task, error=event.error)

        run_tasks(
            [task_for(spec) for spec in specs],
            specs,
            on_event=on_event,
            patience=Patience(lost_s=60 * patience_minutes),
            measuring=measuring,
        )
    return [outcomes[spec] for spec in specs]


def raise_failures(outcomes: Sequence[Outcome[T]]) -> None:
    """Prints all failures but one, and raises that: one of a device, if any, can be mended.

    A programming error is raised at once.
    """
    failures = {str(each.error): each.error for each in outcomes if each.error is not None}
    errors = sorted(failures.values(), key=lambda error: isinstance(error, DeviceError))
    for error in errors[:-1]:
        if not isinstance(error, FwdllmError):
            raise error
        print_error(error)
    if errors:
        raise errors[-1]


def install_and_report(
    target: Target,
    bundle: Bundle,
    report: Report,
    device: str | None,
    *,
    accelerators: Sequence[Accelerator] = (),
    patience_minutes: float = PATIENCE_S / 60,
) -> InstalledRunner:
    """`install_runner` as part of a device's work."""

    def on_push(name: str, done: int, total: int) -> None:
        report(name, done, total, f"pushing {name}")

    return install_runner(
        target,
        bundle,
        device=device,
        accelerators=accelerators,
        progress=on_push,
        patience_s=60 * patience_minutes,
    )


@contextmanager
def installed(
    spec: str, bundle: Bundle, on_progress: OnProgress, device: str | None = None
) -> Iterator[InstalledRunner]:
    """The target of `spec` with the runner and the bundle on it; closed at the end.

    `device` is what computes there; None: the CPU.
    """

    def on_push(name: str, done: int, total: int) -> None:
        on_progress(f"{spec} {name}", done, total, in_bytes=True)

    with open_target(spec) as target:
        yield install_runner(target, bundle, device=device, progress=on_push)


def folder_of(spec: str) -> str:
    """A folder or file name for the target: its specification without colons."""
    return spec.replace(":", "-")
