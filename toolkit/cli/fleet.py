"""Opening the targets that a command was given, with a bundle and the runner installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from android_harness.runs.installed_runner import InstalledRunner, install_runner
from android_harness.targets.open_target import open_target
from exporters.manifest import Bundle
from toolkit.cli.console import OnProgress


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
