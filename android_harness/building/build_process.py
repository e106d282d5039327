"""Running the tools of a build: their output passed on line by line, their failures explained."""

from __future__ import annotations

import subprocess
from collections import deque
from collections.abc import Callable, Sequence

from android_harness.building.accelerators import RunnerBuildError

OutputFunction = Callable[[str], None]


def run_tool(command: Sequence[str], on_output: OutputFunction | None) -> None:
    """Runs a tool, passing on each line it prints.

    Raises:
        RunnerBuildError: it cannot be run, or fails; the message has the end of its output.
    """
    tail: deque[str] = deque(maxlen=20)
    try:
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                tail.append(line.rstrip("\n"))
                if on_output is not None:
                    on_output(line.rstrip("\n"))
    except OSError as error:
        raise RunnerBuildError(
            f"cannot run {command[0]}: {error.strerror}", remedy=f"install {command[0]}"
        ) from error
    if process.returncode != 0:
        raise RunnerBuildError(
            f"{' '.join(command)} failed with exit code {process.returncode}:\n" + "\n".join(tail),
            remedy="read the output above; `fwdllm doctor` names missing tools",
        )
