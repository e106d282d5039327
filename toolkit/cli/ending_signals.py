"""What SIGINT, SIGTERM and SIGHUP do: runs on devices are stopped, and clean-up happens."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class EndingSignals:
    """Turns the signals that end a process into KeyboardInterrupt in the main thread.

    Attributes:
        exit_code: 128 + the signal's number once one has come, as shells have it.
    """

    def __init__(self) -> None:
        self.exit_code: int | None = None

    def listen(self) -> None:
        """From now on; a signal that the caller had ignored, as nohup does, stays ignored."""
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._come)

    def _come(self, number: int, frame: FrameType | None) -> None:
        first = self.exit_code is None
        self.exit_code = 128 + number
        if first:
            # In a thread, since this one may hold a lock that a device needs.
            threading.Thread(target=_stop_runs).start()
        raise KeyboardInterrupt


def _stop_runs() -> None:
    # What a command has not imported, it has not run.
    live_runs = sys.modules.get("android_harness.runs.live_runs")
    if live_runs is not None:
        live_runs.LIVE_RUNS.stop_all()
