"""`fwdllm push`: the runner and a bundle onto devices, verified."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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

    def push_to(spec: str, reached: Target, report: Report) -> dict[str, str]:
        runner = install_and_report(reached, loaded, report, device)
        return {
            "target": spec,
            "workspace": str(reached.workspace),
            "runner_sha256": runner.runner_sha256,
            "bundle_sha256": loaded.sha256,
        }

    outcomes = on_each_device(expand_targets(target), push_to, patience_minutes=patience)
    pushed = [each.result for each in outcomes if each.result is not None]
    if json:
        print_json(pushed)
    else:
        for row in pushed:
            out.print(f"{row['target']}: runner and bundle verified in {row['workspace']}")
    raise_failures(outcomes)
