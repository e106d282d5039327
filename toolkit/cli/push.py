"""`fwdllm push`: the runner and a bundle onto devices, verified."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli.console import out, print_json
from toolkit.cli.options import DeviceOption, EachTargetOption, JsonOption, PatienceOption

if TYPE_CHECKING:
    from android_harness.fleet.task_queue import Report
    from android_harness.target import Target


def push(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder.")],
    target: EachTargetOption,
    device: DeviceOption = None,
    patience: PatienceOption = 10.0,
    json: JsonOption = False,
) -> None:
    """Push a bundle and the runner; files that are already there, by SHA-256, are skipped."""
    from android_harness.targets.discover import expand_targets
    from exporters.manifest import Bundle
    from toolkit.cli.fleet import install_and_report, on_each_device, raise_failures

    loaded = Bundle(bundle)
    targets = expand_targets(target)
    counts = {spec: PushedBytes() for spec in targets}

    def push_to(spec: str, reached: Target, report: Report) -> dict[str, Any]:
        counted = counts[spec]
        runner = install_and_report(
            reached, loaded, counted.counting(report), device, patience_minutes=patience
        )
        return {
            "target": spec,
            "workspace": str(reached.workspace),
            "runner_sha256": runner.runner_sha256,
            "bundle_sha256": loaded.sha256,
            "bytes_sent": counted.sent,
            "bytes_there_before": counted.there_before,
        }

    outcomes = on_each_device(targets, push_to, patience_minutes=patience)
    pushed = [each.result for each in outcomes if each.result is not None]
    if json:
        print_json(pushed)
    else:
        for row in pushed:
            out.print(
                f"{row['target']}: runner and bundle verified in {row['workspace']}: "
                f"{row['bytes_sent'] / 1e6:,.1f} MB sent, {row['bytes_there_before'] / 1e6:,.1f} "
                "MB were there already",
                highlight=False,
                soft_wrap=True,
            )
    raise_failures(outcomes)


class PushedBytes:
    """How much of the files had to be sent, from their progress: its beginning was there before."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[int, int]] = {}  # what was there before, and what is needed

    def counting(self, report: Report) -> Report:
        """Also counts what it is told."""

        def count(
            stage: str,
            done: int,
            total: int,
            detail: str = "",
            celsius: float | None = None,
            left_s: tuple[float, float] | None = None,
        ) -> None:
            self._files.setdefault(stage, (done, total))
            report(stage, done, total, detail, celsius, left_s)

        return count

    @property
    def there_before(self) -> int:
        return sum(before for before, _ in self._files.values())

    @property
    def sent(self) -> int:
        return sum(total - before for before, total in self._files.values())
