"""`fwdllm push`: the runner and a bundle onto devices, verified."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.console import OnProgress, out, print_json, progress_bars
from toolkit.cli.options import DeviceOption, JsonOption, TargetsOption


def push(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder.")],
    target: TargetsOption,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Push a bundle and the runner; files that are already there, by SHA-256, are skipped."""
    from exporters.manifest import Bundle
    from toolkit.cli.fleet import installed

    loaded = Bundle(bundle)
    pushed = []
    for spec in target:
        counted = PushedBytes()
        with (
            progress_bars() as on_progress,
            installed(spec, loaded, counted.counting(on_progress), device) as runner,
        ):
            pushed.append(
                {
                    "target": spec,
                    "workspace": str(runner.target.workspace),
                    "runner_sha256": runner.runner_sha256,
                    "bundle_sha256": loaded.sha256,
                    "bytes_sent": counted.sent,
                    "bytes_there_before": counted.there_before,
                }
            )
            if not json:
                out.print(
                    f"{spec}: runner and bundle verified in {runner.target.workspace}: "
                    f"{counted.sent / 1e6:,.1f} MB sent, {counted.there_before / 1e6:,.1f} MB "
                    "were there already",
                    highlight=False,
                    soft_wrap=True,
                )
    if json:
        print_json(pushed)


class PushedBytes:
    """How much of the files had to be sent, from their progress: its beginning was there before."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[int, int]] = {}  # what was there before, and what is needed

    def counting(self, on_progress: OnProgress) -> OnProgress:
        """Also counts what it is told."""

        def count(stage: str, done: int, total: int, *, in_bytes: bool = False) -> None:
            self._files.setdefault(stage, (done, total))
            on_progress(stage, done, total, in_bytes=in_bytes)

        return count

    @property
    def there_before(self) -> int:
        return sum(before for before, _ in self._files.values())

    @property
    def sent(self) -> int:
        return sum(total - before for before, total in self._files.values())
