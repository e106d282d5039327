"""What a device takes from its battery when it is left alone."""

from __future__ import annotations

import tempfile
from pathlib import Path

from android_harness.target import Target
from android_harness.telemetry.energy import EnergyReading, energy_between, idle_energy
from android_harness.telemetry.recorder import recorded_telemetry
from android_harness.telemetry.records import TELEMETRY_NAME
from android_harness.telemetry.trace import read_trace


def measure_idle(target: Target, seconds: float, *, hertz: float = 4.0) -> EnergyReading:
    """Leaves a device alone for so long; its `mean_watts` is the baseline for others.

    Measured by the poller whose own cost it therefore includes.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / TELEMETRY_NAME
        with recorded_telemetry(target, path, hertz=hertz) as recorder:
            recorder.measure_idle(seconds)
        trace = read_trace(path)
    return idle_energy(trace) or energy_between(trace, 0, 0)
