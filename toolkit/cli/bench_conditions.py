"""What holds on a device while it is measured, recorded beside its samples."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from android_harness.state.held_settings import SETTINGS_NAME, held_settings
from android_harness.state.wanted_settings import SettingsChoice, wanted_settings
from android_harness.target import Target
from android_harness.telemetry.recorder import recorded_telemetry
from android_harness.telemetry.records import TELEMETRY_NAME

_RECORDS = (SETTINGS_NAME, TELEMETRY_NAME, Path(TELEMETRY_NAME).with_suffix(".parquet").name)


@contextmanager
def bench_conditions(
    target: Target,
    folder: Path,
    samples: Sequence[Path],
    *,
    settings: SettingsChoice,
    telemetry: bool,
    idle_seconds: float,
) -> Iterator[None]:
    """Holds the settings and records the sensors while the block runs.

    Args:
        folder: of the device, where the records are made.
        samples: the SAMPLES folders of what is measured meanwhile; each gets the records in the
            end, so that it can be read without the others.
    """
    try:
        with held_settings(target, wanted_settings(settings)) as held:
            held.write(folder / SETTINGS_NAME)
            if not telemetry:
                yield
                return
            with recorded_telemetry(target, folder / TELEMETRY_NAME) as recorder:
                if idle_seconds:
                    recorder.measure_idle(idle_seconds)
                yield
    finally:
        for each in samples:
            if each != folder:
                _copy(folder, each)


def _copy(folder: Path, to: Path) -> None:
    for name in _RECORDS:
        if (folder / name).exists():
            shutil.copyfile(folder / name, to / name)
