"""Whatever runs did to a device's settings and wherever they died, the originals come back."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.state.device_settings import (
    SETTINGS,
    SettingName,
    is_over_network,
    parse_stored_value,
)
from android_harness.state.held_settings import held_settings
from android_harness.state.restoring import restore_settings
from android_harness.state.settings_journal import journal_path, journal_paths, read_journal
from android_harness.state.wanted_settings import WantedSettings
from android_harness.target import CommandResult
from tests.android_harness.state.android_devices import AndroidInMemory, HostDiedError, values_on

SWITCHES = st.none() | st.sampled_from(["on", "off"])
WANTED = st.builds(
    WantedSettings,
    battery_saver=SWITCHES,
    fixed_performance=SWITCHES,
    do_not_disturb=st.none() | st.sampled_from(["off", "priority", "alarms", "none"]),
    airplane=SWITCHES,
    screen=SWITCHES,
    screen_off_timeout_ms=st.none() | st.integers(1000, 100_000),
    stay_awake=st.none() | st.integers(0, 15),
    brightness_mode=st.none() | st.sampled_from([0, 1]),
    brightness=st.none() | st.integers(0, 255),
)
TABLES = st.fixed_dictionaries(
    {
        "power.wakefulness": st.sampled_from(["Awake", "Asleep"]),
        "power.fixed_performance": st.just("false"),
        "global.low_power": st.sampled_from(["0", "1"]),
        "global.zen_mode": st.sampled_from(["0", "1", "2", "3"]),
        "global.airplane_mode_on": st.sampled_from(["0", "1"]),
    },
    optional={
        "system.screen_off_timeout": st.integers(1000, 100_000).map(str),
        "global.stay_on_while_plugged_in": st.integers(0, 15).map(str),
        "system.screen_brightness_mode": st.sampled_from(["0", "1"]),
        "system.screen_brightness": st.integers(0, 255).map(str),
    },
)
# A run that ends well, or dies at its n-th command, with or without that command's effect.
RUNS = st.lists(
    st.tuples(WANTED, st.none() | st.integers(0, 60), st.booleans()), min_size=1, max_size=4
)


@given(TABLES, RUNS)
def test_any_runs_and_crashes_end_with_the_originals(
    table: dict[str, str], runs: list[tuple[WantedSettings, int | None, bool]]
) -> None:
    device = AndroidInMemory(table)
    for wanted, dies_at, takes_effect in runs:
        device.dies_at, device.takes_effect = dies_at, takes_effect
        with suppress(HostDiedError), held_settings(device, wanted):
            pass
    device.dies_at = None

    assert all(
        row.outcome == "restored" for row in restore_settings(device, journal_path(device.serial))
    )

    assert device.table == table
    assert journal_paths() == []


@given(TABLES, WANTED)
def test_what_differs_on_the_device_is_in_the_journal_at_any_time(
    table: dict[str, str], wanted: WantedSettings
) -> None:
    originals = values_on(AndroidInMemory(table))

    class Watched(AndroidInMemory):
        def run(self, command: Sequence[str], *, timeout_s: float | None = None) -> CommandResult:
            result = super().run(command, timeout_s=timeout_s)
            now = values_on(AndroidInMemory(self.table))
            journal = read_journal(journal_path(self.serial))
            kept = {row.setting: row.before for row in journal.changed} if journal else {}
            for name, original in originals.items():
                assert now[name] == original or kept[name] == original
            return result

    with held_settings(Watched(table), wanted):
        pass


@given(st.binary(max_size=40) | st.from_regex(rb"-?[0-9]{1,12}\r?\n", fullmatch=True))
def test_no_output_breaks_the_parser(output: bytes) -> None:
    value = parse_stored_value(output)

    assert value is None or value.encode() in output


def test_settings_and_wishes_have_the_same_names() -> None:
    names = [setting.name for setting in SETTINGS]
    assert sorted(names) == sorted(WantedSettings.model_fields) == sorted(get_args(SettingName))


@pytest.mark.parametrize(
    ("target", "over_network"),
    [
        ("adb-tcp:192.168.1.5:5555", True),
        ("adb:192.168.1.5:5555", True),
        ("adb:adb-R58M123-AbCdEf._adb-tls-connect._tcp", True),
        ("adb:R58M123ABC", False),
        ("adb:emulator-5554", False),
        ("local", False),
    ],
)
def test_how_a_device_is_reached(target: str, over_network: bool) -> None:
    assert is_over_network(target) is over_network
