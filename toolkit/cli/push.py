"""`fwdllm push`: the runner and a bundle onto devices, verified."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.console import out, print_json, progress_bars
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
        with (
            progress_bars() as on_progress,
            installed(spec, loaded, on_progress, device) as runner,
        ):
            pushed.append(
                {
                    "target": spec,
                    "workspace": str(runner.target.workspace),
                    "runner_sha256": runner.runner_sha256,
                    "bundle_sha256": loaded.sha256,
                }
            )
            if not json:
                out.print(f"{spec}: runner and bundle verified in {runner.target.workspace}")
    if json:
        print_json(pushed)
