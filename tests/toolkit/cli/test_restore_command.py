"""`fwdllm restore` after a run whose host died."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from android_harness.fake_phone import FakePhone
from android_harness.fake_phone.android_programs import android_programs
from android_harness.state.held_settings import held_settings
from android_harness.state.settings_journal import journal_path, journal_paths
from android_harness.state.wanted_settings import WantedSettings
from android_harness.target import Target
from android_harness.targets.open_target import open_target
from tests.android_harness.state.android_devices import run_in_a_process, values_on
from toolkit.cli.app import app

DIM = WantedSettings(brightness_mode=0, brightness=1)


@pytest.fixture(autouse=True)
def wide_private_terminal(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def phone() -> Iterator[FakePhone]:
    with FakePhone(scripts=android_programs(), props={"ro.serialno": "FAKE1"}) as phone:
        yield phone


@pytest.fixture
def target(phone: FakePhone) -> Iterator[Target]:
    with open_target(phone.target) as target:
        yield target


def crash(target: Target, wanted: WantedSettings = DIM) -> None:
    """A run that is killed while it holds the settings."""
    with run_in_a_process(target.name, wanted) as process:
        process.kill()
        process.wait()


def restore(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["restore", *arguments])


def test_every_device_in_the_journal_is_restored(target: Target) -> None:
    before = values_on(target)
    crash(target)
    assert values_on(target) != before

    result = restore()

    assert result.exit_code == 0, result.output
    rows = [line.split("│") for line in result.output.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row[1:-1]] for row in rows] == [
        ["brightness", "102", "1", "restored to 102"],
        ["brightness_mode", "1", "0", "restored to 1"],
    ]
    assert target.name in result.output
    assert values_on(target) == before
    assert "nothing to restore" in restore().output


def test_the_list_touches_no_device(target: Target) -> None:
    crash(target)
    during = values_on(target)

    listed = json.loads(restore("--list", "--json").stdout)
    shown = restore("--list")

    assert [journal["serial"] for journal in listed] == ["FAKE1"]
    assert [row["before"] for row in listed[0]["changed"]] == ["1", "102"]
    assert shown.exit_code == 0 and "brightness_mode" in shown.output
    assert values_on(target) == during


def test_a_named_target_is_restored_wherever_it_is_now(target: Target, phone: FakePhone) -> None:
    before = values_on(target)
    crash(target)
    port = journal_path("FAKE1").read_text().replace(str(phone.port), "1")
    journal_path("FAKE1").write_text(port)  # where it was then

    unreachable = restore()
    assert unreachable.exit_code == 1
    assert "adb-tcp:127.0.0.1:1" in unreachable.output

    result = restore("--target", target.name, "--json")

    assert result.exit_code == 0, result.output
    [device] = json.loads(result.stdout)
    assert {row["setting"]: row["outcome"] for row in device["settings"]} == {
        "brightness": "restored",
        "brightness_mode": "restored",
    }
    assert values_on(target) == before


def test_another_device_at_the_same_place_is_not_touched(target: Target) -> None:
    crash(target)
    of_another = journal_path("FAKE2")
    journal_path("FAKE1").rename(of_another)
    of_another.write_text(of_another.read_text().replace("FAKE1", "FAKE2"))
    during = values_on(target)

    result = restore("--target", "all")

    assert result.exit_code == 1
    assert "this is the device FAKE1, the settings are of FAKE2" in result.output
    assert values_on(target) == during
    assert journal_paths() == [of_another]


def test_a_value_that_somebody_changed_since_is_left(target: Target) -> None:
    crash(target)
    target.check(["settings", "put", "system", "screen_brightness", "77"])

    result = restore()

    assert result.exit_code == 0
    assert "left: somebody changed it since" in result.output
    assert values_on(target)["brightness"] == "77"
    assert journal_paths() == []


def test_what_cannot_be_restored_is_told_and_stays(target: Target) -> None:
    crash(target, WantedSettings(stay_awake=7, brightness=1))
    journal = journal_path("FAKE1")
    # As if battery saver had been on before the phone was plugged in.
    journal.write_text(
        journal.read_text().replace('"stay_awake"', '"battery_saver"').replace('"0"', '"on"')
        .replace('"7"', '"off"')
    )  # fmt: skip

    result = restore()

    assert result.exit_code == 1
    assert "failed: the device keeps off" in result.output
    assert "restored to 102" in result.output
    assert '"battery_saver"' in journal.read_text() and '"brightness"' not in journal.read_text()


def test_a_damaged_journal_does_not_keep_others_from_being_restored(target: Target) -> None:
    crash(target)
    journal_path("AAA").write_text("{")

    result = restore()

    assert result.exit_code == 1
    assert "restored to 102" in result.output
    assert str(journal_path("AAA")) in result.output and "by hand" in result.output
    assert journal_paths() == [journal_path("AAA")]


def test_a_run_that_goes_on_is_not_disturbed(target: Target) -> None:
    with held_settings(target, DIM):
        during = values_on(target)
        result = restore()
        assert result.exit_code == 1 and "held by another run" in result.output
        assert values_on(target) == during


def test_a_device_with_nothing_changed_is_fine(target: Target) -> None:
    result = restore("--target", target.name)
    assert result.exit_code == 0 and "nothing to restore" in result.output
