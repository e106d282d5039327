"""Processes of a test, and waiting for what they do."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent


class Processes:
    """Processes of a test with their logs; all of them end with it."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: list[subprocess.Popen[bytes]] = []

    def start(
        self, name: str, script: str, *arguments: object, **environment: str
    ) -> subprocess.Popen[bytes]:
        """Runs a script of this folder; `environment` is added to its own."""
        command = [sys.executable, str(HERE / script), *map(str, arguments)]
        own = {**os.environ, "PYTHONPATH": str(HERE.parents[2]), "OMP_NUM_THREADS": "1"}
        with (self._logs / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command, env=own | environment, stdout=log, stderr=subprocess.STDOUT
            )
        self._running.append(process)
        return process

    def log(self, name: str) -> str:
        return (self._logs / f"{name}.log").read_text()

    def end(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.terminate()
        for process in self._running:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until(condition: Callable[[], bool], timeout_s: float = 40.0) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)
