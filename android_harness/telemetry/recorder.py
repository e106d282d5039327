"""Telemetry of a device into a file of this machine, while something else happens on the device."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from android_harness.errors import DeviceError
from android_harness.target import Target
from android_harness.telemetry.device_lines import DeviceLines
from android_harness.telemetry.poller import Poller, PollerSettings
from android_harness.telemetry.records import (
    TelemetryBegin,
    TelemetryEnd,
    TelemetryIdle,
    TelemetryMissing,
    TelemetryRecord,
)
from android_harness.telemetry.table import write_table

_MOST_POLLERS = 20  # one that ends at once is not started for ever
_PROBING_S = 15.0  # how long a poller may take to find its sensors
_IDLE_LOOK_S = 5.0  # as often as readings are fetched anyway
_FAREWELL_S = 10.0  # how long a lost device is waited for at the end


@contextmanager
def recorded_telemetry(
    target: Target,
    path: Path,
    *,
    hertz: float = 4.0,
    dump_interval_s: int = 5,
    lease_s: int = 900,
    fetch_interval_s: float = 5.0,
) -> Iterator[TelemetryRecorder]:
    """Records the device's sensors while the block runs; appends to `path`.

    A poller on the device writes them down, and a thread of this process fetches what is new. On
    leaving the block the poller is killed, the rest fetched, and a table of all that is in `path`
    written beside it, as .parquet. Telemetry never makes its block fail: what is missing is
    recorded with its reason.

    Args:
        path: a telemetry.jsonl; see `records.py`.
        hertz, dump_interval_s, lease_s: see `PollerSettings`.
        fetch_interval_s: each fetch is one short command. A device on USB has but one connection,
            so nothing else can be asked meanwhile; make it longer where that disturbs.

    Raises:
        ValueError: a setting is out of range.
    """
    settings = PollerSettings(hertz=hertz, dump_interval_s=dump_interval_s, lease_s=lease_s)
    recorder = TelemetryRecorder(target, path, settings, fetch_interval_s)
    try:
        recorder.begin()
        yield recorder
    finally:
        recorder.close()


class TelemetryRecorder:
    """What runs inside `recorded_telemetry`.

    Attributes:
        missing: why there are no readings, or not all of them; complete after the block.
    """

    def __init__(
        self, target: Target, path: Path, settings: PollerSettings, fetch_interval_s: float
    ) -> None:
        self.missing: list[str] = []
        self._target = target
        self._path = path
        self._settings = settings
        self._fetch_interval_s = fetch_interval_s
        self._lock = threading.Lock()  # of all below: the thread, and the block's own fetches
        self._poller: Poller | None = None
        self._lines = DeviceLines(target.name)
        self._pollers = 0
        self._told = False  # a poller has told its sensors
        self._ended = False  # and the end of the last one
        self._lost: str | None = None  # why the last fetch failed
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True, name="telemetry")

    def begin(self) -> None:
        """Starts the poller and the thread; a device that is away now may come later."""
        try:
            self._prepare_file()
            self._fetch()
        except DeviceError as error:
            self._lost = str(error)
        except OSError as error:
            self._note_missing(str(error))
        self._thread.start()

    def measure_idle(self, seconds: float) -> None:
        """Leaves the device alone for so long and marks the window, for a baseline of its power.

        The block must not use the device meanwhile.
        """
        try:
            start_s = self._fetch()
            patience_until = time.monotonic() + _PROBING_S
            while not self._told and time.monotonic() < patience_until:
                time.sleep(0.25)
                start_s = self._fetch()
            end_s, rested_until = start_s, time.monotonic() + seconds
            while (rest_s := rested_until - time.monotonic()) > 0:
                time.sleep(min(rest_s, _IDLE_LOOK_S))
                end_s = self._fetch()  # also where a thread that is told to end hears of it
            idle = TelemetryIdle(start_ns=round(start_s * 1e9), end_ns=round(end_s * 1e9))
            with self._lock:
                self._append([idle])
        except (DeviceError, OSError) as error:
            self._note_missing(f"the idle baseline: {error}")

    def close(self) -> None:
        """Ends the poller, fetches the rest and writes the table."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        try:
            try:
                self._finish()
            except DeviceError:
                self._target.wait_for(timeout_s=_FAREWELL_S)
                self._finish()
        except (DeviceError, OSError) as error:
            self._lost = str(error)
        if self._lost or not self._told:
            self._note_missing(self._lost or "the poller did not get to its first reading")
        with suppress(OSError):  # of a full disk there is no use to complain twice
            write_table(self._path)

    def _follow(self) -> None:
        while not self._over.wait(self._fetch_interval_s):
            try:
                self._fetch()
                self._lost = None
            except DeviceError as error:
                self._lost = str(error)  # its poller goes on without us
            except OSError as error:
                self._note_missing(str(error))
                return

    def _fetch(self) -> float:
        """Writes down what is new, by a new poller if the last one ended; the device's uptime."""
        with self._lock:
            if self._poller is None:
                if self._pollers >= _MOST_POLLERS:
                    raise DeviceError("its pollers end too soon", device=self._target.name)
                self._poller = Poller(self._target, self._settings)
                self._lines = DeviceLines(self._target.name)
                self._pollers += 1
            poller = self._poller
            if not poller.started:
                poller.start()
            increment = poller.fetch()
            records = self._lines.feed(increment.data)
            self._append(records)
            if increment.state != "running" and not increment.data:
                self._poller = None
                if not self._ended:
                    self._append([TelemetryEnd(reason="killed")])
                poller.remove()
            return increment.uptime_s

    def _finish(self) -> None:
        with self._lock:
            if self._poller is None:
                return
            while (increment := self._poller.finish()).data:
                self._append(self._lines.feed(increment.data))
            if increment.state == "absent":
                self._lost = self._lost or "the poller's folder is gone from the device"
                return
            if not self._ended:
                self._append([TelemetryEnd(reason="closed")])
            self._lost = None
            poller, self._poller = self._poller, None
            poller.remove()

    def _note_missing(self, reason: str) -> None:
        self.missing.append(reason)
        with suppress(OSError), self._lock:
            self._append([TelemetryMissing(at=datetime.now(UTC), reason=reason)])

    def _prepare_file(self) -> None:
        """Whatever a crash left unfinished is closed off as a line that is no record."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a+b") as file:
            if file.tell():
                file.seek(-1, 2)
                if file.read(1) != b"\n":
                    file.write(b"\n")

    def _append(self, records: Sequence[TelemetryRecord]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            for record in records:
                if isinstance(record, TelemetryBegin):
                    self._told, self._ended = True, False
                elif isinstance(record, TelemetryEnd):
                    self._ended = True
                file.write(record.model_dump_json() + "\n")
