"""Settings held for a run on a phone: set, recorded, restored."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pydantic import ValidationError

from android_harness.errors import (
    DeviceGoneError,
    SettingsHeldError,
    SettingsJournalError,
    SettingsNotRestoredError,
)
from android_harness.fake_phone import FakePhone, Faults
from android_harness.fake_phone.android_programs import android_programs
from android_harness.state.held_settings import HeldSettings, held_settings
from android_harness.state.restoring import restore_settings
from android_harness.state.settings_journal import journal_path, journal_paths, read_journal
from android_harness.state.wanted_settings import AS_IS, MEASURING, WantedSettings
from android_harness.target import CommandResult, Target
from android_harness.targets.open_target import open_target
from tests.android_harness.state.android_devices import (
    AndroidInMemory,
    remembered,
    run_in_a_process,
    values_on,
)
from tests.android_harness.waiting import HASTY, PATIENT

pytestmark = pytest.mark.usefixtures("private_home")

DIM = WantedSettings(brightness_mode=0, brightness=1)


@pytest.fixture
def android_phone(private_home: None) -> Iterator[FakePhone]:
    with FakePhone(scripts=android_programs(), props={"ro.serialno": "FAKE1"}) as phone:
        yield phone


@pytest.fixture
def android(android_phone: FakePhone) -> Iterator[Target]:
    with open_target(android_phone.target, timeouts=PATIENT) as target:
        yield target


def by_name(held: HeldSettings) -> dict[str, tuple[str | None, str | None, str]]:
    return {row.setting: (row.before, row.during, row.status) for row in held.settings}


def test_settings_are_set_for_the_run_and_restored(
    android: Target, android_phone: FakePhone, tmp_path: Path
) -> None:
    android.check(["input", "keyevent", "223"])
    before = values_on(android)

    with held_settings(android, MEASURING) as held:
        during = values_on(android)
        assert remembered(android_phone, "power.fixed_performance") == "true"
        held.write(tmp_path / "settings.json")

    assert during == {
        "battery_saver": "off",
        "fixed_performance": None,
        "do_not_disturb": "alarms",
        "airplane": "off",
        "screen": "on",
        "screen_off_timeout_ms": "86400000",
        "stay_awake": "7",
        "brightness_mode": "0",
        "brightness": "1",
    }
    assert by_name(HeldSettings.read(tmp_path / "settings.json")) == {
        "battery_saver": ("off", "off", "set"),
        "fixed_performance": (None, None, "unverified"),
        "do_not_disturb": ("off", "alarms", "set"),
        "airplane": ("off", "off", "unsupported"),
        "screen": ("off", "on", "set"),
        "screen_off_timeout_ms": ("60000", "86400000", "set"),
        "stay_awake": ("0", "7", "set"),
        "brightness_mode": ("1", "0", "set"),
        "brightness": ("102", "1", "set"),
    }
    assert held.serial == "FAKE1"
    assert values_on(android) == before
    assert remembered(android_phone, "power.fixed_performance") == "false"
    assert journal_paths() == []


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_settings_are_restored_when_the_run_fails(
    android: Target, kind: type[BaseException]
) -> None:
    before = values_on(android)

    with pytest.raises(kind), held_settings(android, MEASURING):
        raise kind

    assert values_on(android) == before
    assert journal_paths() == []


def test_what_was_unset_is_unset_again(android: Target) -> None:
    android.check(["settings", "delete", "system", "screen_brightness"])

    with held_settings(android, DIM):
        assert values_on(android)["brightness"] == "1"

    assert values_on(android)["brightness"] == "null"


def test_as_is_reads_and_touches_nothing(android: Target, android_phone: FakePhone) -> None:
    with held_settings(android, AS_IS) as held:
        assert {row.status for row in held.settings} == {"as found"}
        assert by_name(held)["brightness"] == ("102", "102", "as found")

    assert not (android_phone.root.path / "android").exists()


def test_airplane_mode_is_set_over_usb_only(android: Target) -> None:
    wanted = WantedSettings(airplane="on")
    with held_settings(android, wanted) as held:
        airplane = next(row for row in held.settings if row.setting == "airplane")
        assert (airplane.during, airplane.status) == ("off", "unsupported")
        assert "cut the network" in airplane.why

    device = AndroidInMemory({"power.wakefulness": "Awake"})
    with held_settings(device, wanted) as held:
        assert by_name(held)["airplane"] == ("off", "on", "set")
    assert values_on(device)["airplane"] == "off"


@pytest.mark.parametrize(
    ("setting", "wanted", "sdk", "says"),
    [
        ("fixed_performance", "on", 29, "Unknown command: set-fixed-performance-mode-enabled"),
        ("fixed_performance", "on", 26, "No shell command implementation."),
        ("fixed_performance", "on", 34, "Power HAL AIDL is not implemented"),
        ("do_not_disturb", "alarms", 29, "Unknown command: set_dnd"),
        ("do_not_disturb", "alarms", 27, "No shell command implementation."),
        ("airplane", "on", 29, "Security exception"),
        ("airplane", "on", 27, "No shell command implementation."),
        ("battery_saver", "on", 34, "the device keeps off"),
    ],
)
def test_what_a_release_cannot_do_is_told_in_its_words(
    setting: str, wanted: str, sdk: int, says: str
) -> None:
    programs = android_programs(sdk=sdk, fixed_performance=False)
    with (
        FakePhone(scripts=programs) as phone,
        open_target(phone.target, timeouts=PATIENT) as target,
    ):
        target.name = "adb:FAKE"  # as if on USB, where airplane mode may be set
        before = values_on(target)
        with held_settings(target, WantedSettings.model_validate({setting: wanted})) as held:
            row = next(row for row in held.settings if row.setting == setting)
            assert row.status == "unsupported"
            assert says in row.why
            assert values_on(target) == before
            assert journal_paths() == []


@pytest.mark.parametrize(
    ("says", "status", "during"),
    [
        ("WARNING: linker: unsupported flags", "unverified", "true"),
        ("Remote exception", "unsupported", "false"),
    ],
)
def test_words_of_a_command_that_obeyed_leave_nothing_behind(
    says: str, status: str, during: str
) -> None:
    programs = android_programs()
    programs["cmd"] += f"echo {says!r} >&2\n"
    with (
        FakePhone(scripts=programs) as phone,
        open_target(phone.target, timeouts=PATIENT) as target,
    ):
        with held_settings(target, WantedSettings(fixed_performance="on")) as held:
            assert by_name(held)["fixed_performance"] == (None, None, status)
            assert remembered(phone, "power.fixed_performance") == during
        assert remembered(phone, "power.fixed_performance") == "false"
        assert journal_paths() == []


def test_a_phone_without_the_programs_is_left_alone(phone: FakePhone) -> None:
    with open_target(phone.target, timeouts=PATIENT) as target:
        with held_settings(target, MEASURING) as held:
            assert {row.status for row in held.settings} == {"unsupported"}
            assert all("not found" in row.why for row in held.settings if row.setting != "airplane")
        assert journal_paths() == []


def test_this_machine_has_no_settings_to_hold() -> None:
    with open_target("local") as target, held_settings(target, MEASURING) as held:
        assert {(row.status, row.why) for row in held.settings} == {
            ("unsupported", "not an Android device")
        }
        assert journal_paths() == []


def test_a_device_that_is_gone_at_the_end_keeps_its_journal(
    android_phone: FakePhone, android: Target
) -> None:
    before = values_on(android)
    with open_target(android_phone.target, timeouts=HASTY) as target:
        with (
            pytest.raises(SettingsNotRestoredError, match="fwdllm restore") as raised,
            held_settings(target, DIM),
        ):
            android_phone.faults = Faults(end_after_bytes=0)
            android_phone.drop_connections()
        assert raised.value.device == android_phone.target
        android_phone.faults = Faults()

        restored = restore_settings(android, journal_path("FAKE1"))

    # In reverse: brightness is set once the automatic mode is off, and back before it is on.
    assert [(row.setting, row.outcome) for row in restored] == [
        ("brightness", "restored"),
        ("brightness_mode", "restored"),
    ]
    assert values_on(android) == before
    assert journal_paths() == []


def test_the_error_of_the_run_goes_on_when_the_device_is_gone_too(
    android_phone: FakePhone, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        open_target(android_phone.target, timeouts=HASTY) as target,
        pytest.raises(DeviceGoneError),
        held_settings(target, DIM),
    ):
        android_phone.faults = Faults(end_after_bytes=0)
        android_phone.drop_connections()
        target.check(["true"])

    assert "fwdllm restore" in caplog.text
    assert len(journal_paths()) == 1


def test_a_second_run_is_refused_until_the_first_is_gone(
    android: Target, android_phone: FakePhone
) -> None:
    before = values_on(android)
    with run_in_a_process(android_phone.target, DIM) as process:
        during = values_on(android)
        with (
            pytest.raises(SettingsHeldError, match=f"process {process.pid}"),
            held_settings(android, MEASURING),
        ):
            pass
        assert values_on(android) == during
        process.kill()
        process.wait()

        with held_settings(android, MEASURING):
            pass

    assert values_on(android) == before


def test_two_threads_cannot_hold_one_device(android: Target) -> None:
    with (
        held_settings(android, DIM),
        pytest.raises(SettingsHeldError, match=str(os.getpid())),
        held_settings(android, DIM),
    ):
        pass


def test_two_crashes_in_a_row_keep_the_first_originals(
    android: Target, android_phone: FakePhone
) -> None:
    before = values_on(android)
    for brightness in (1, 200):
        wanted = WantedSettings(brightness=brightness, stay_awake=3)
        with run_in_a_process(android_phone.target, wanted) as process:
            process.kill()
            process.wait()
        assert values_on(android)["brightness"] == str(brightness)

    journal = read_journal(journal_path("FAKE1"))
    assert journal is not None
    assert {row.setting: row.before for row in journal.changed} == {
        "brightness": "102",
        "stay_awake": "0",
    }
    restore_settings(android, journal_path("FAKE1"))
    assert values_on(android) == before


def test_what_somebody_changed_during_the_run_is_left(
    android: Target, caplog: pytest.LogCaptureFixture
) -> None:
    with held_settings(android, DIM):
        android.check(["settings", "put", "system", "screen_brightness", "77"])

    assert values_on(android)["brightness"] == "77"
    assert values_on(android)["brightness_mode"] == "1"
    assert "brightness is left at 77, was 102 before the run" in caplog.text
    assert journal_paths() == []


def test_what_the_device_made_of_a_value_is_told_and_restored() -> None:
    class HasAMinimum(AndroidInMemory):
        def run(self, command: Sequence[str], *, timeout_s: float | None = None) -> CommandResult:
            if list(command[:4]) == ["settings", "put", "system", "screen_brightness"]:
                command = [*command[:4], str(max(10, int(command[4])))]
            return super().run(command, timeout_s=timeout_s)

    device = HasAMinimum({"power.wakefulness": "Awake", "system.screen_brightness": "80"})
    with held_settings(device, WantedSettings(brightness=1)) as held:
        assert by_name(held)["brightness"] == ("80", "10", "unverified")

    assert values_on(device)["brightness"] == "80"


def test_what_cannot_be_restored_stays_in_the_journal() -> None:
    device = AndroidInMemory({"power.wakefulness": "Awake", "global.low_power": "1"})
    with (
        pytest.raises(SettingsNotRestoredError, match="battery_saver"),
        held_settings(device, WantedSettings(battery_saver="off", brightness=1)),
    ):
        device.charging = True
    [path] = journal_paths()
    assert [row.outcome for row in restore_settings(device, path)] == ["failed"]
    with (
        pytest.raises(SettingsNotRestoredError, match="battery_saver"),
        held_settings(device, WantedSettings(battery_saver="off")) as held,
    ):
        assert by_name(held)["battery_saver"] == ("on", "off", "set")

    device.charging = False
    with held_settings(device, WantedSettings(battery_saver="off")) as held:
        assert by_name(held)["battery_saver"] == ("on", "off", "set")

    assert values_on(device)["battery_saver"] == "on"
    assert journal_paths() == []


@pytest.mark.parametrize("damage", ["torn", "bytes", "version", "setting"])
def test_a_damaged_journal_is_refused_and_kept(damage: str) -> None:
    device = AndroidInMemory({"power.wakefulness": "Awake", "system.screen_brightness": "80"})
    path = journal_path(device.serial)
    with pytest.raises(SystemExit), held_settings(device, WantedSettings(brightness=1)):
        whole = path.read_bytes()
        path.write_bytes(
            {
                "torn": whole[: len(whole) // 2],
                "bytes": b"\xff\x00",
                "version": whole.replace(b'"schema_version": 1', b'"schema_version": 9'),
                "setting": whole.replace(b'"brightness"', b'"volume"'),
            }[damage]
        )
        raise SystemExit
    damaged = path.read_bytes()

    for wanted in (DIM, MEASURING):
        with (
            pytest.raises(SettingsJournalError, match="by hand") as raised,
            held_settings(device, wanted),
        ):
            pass
        assert raised.value.file == path
    with pytest.raises(SettingsJournalError):
        restore_settings(device, path)
    assert path.read_bytes() == damaged
    assert device.table["system.screen_brightness"] == "1"


@pytest.mark.parametrize(
    "wrong",
    [{"brightness": 256}, {"brightness_mode": 2}, {"do_not_disturb": "on"}, {"volume": 1}],
)
def test_values_that_android_does_not_have_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        WantedSettings.model_validate(wrong)


def test_a_warning_tells_what_an_earlier_run_left(
    android: Target, android_phone: FakePhone, caplog: pytest.LogCaptureFixture
) -> None:
    with run_in_a_process(android_phone.target, DIM) as process:
        process.kill()
        process.wait()
    with caplog.at_level(logging.WARNING), held_settings(android, DIM):
        assert "an earlier run had left settings changed: brightness" in caplog.text
