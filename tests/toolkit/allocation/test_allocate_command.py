"""`fwdllm allocate` and the section of the report, from files."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from made_profiles import arm, profile, slope_errors
from typer.testing import CliRunner

from device_bench.profiles.profile_files import write_profiles
from exporters.errors import FwdllmError
from toolkit.allocation.contract import Allocation
from toolkit.cli.app import app
from toolkit.report.allocation_section import allocation_section

SECONDS = {"central": 2.0, "forward": 1.0, "tangent": 1.1}


@pytest.fixture
def profiles(tmp_path: Path) -> list[str]:
    paths = []
    for target, seconds in (("adb:fast", 1.0), ("adb:slow", 3.0)):
        path = tmp_path / f"{target[4:]}.json"
        profile(target, seconds=seconds, spread=0.2, measured=datetime.now(UTC)).write(path)
        paths.append(str(path))
    return paths


def run(profiles: list[str], tmp_path: Path, *options: str):
    out = tmp_path / "allocation.json"
    arguments = ["allocate", *profiles, "--probes", "12", "--out", str(out), *options]
    return CliRunner().invoke(app, arguments), out


def test_limits_reach_the_allocation(profiles: list[str], tmp_path: Path) -> None:
    result, out = run(
        profiles,
        tmp_path,
        *("--deadline-s", "30", "--quantile", "0.9", "--floor", "3", "--joules", "5"),
        *("--availability", "adb:slow=0.5", "--batches", "1,2", "--noise-scale", "3"),
        *("--layers", "2-3", "--cap", "adb:fast=9", "--json"),
    )
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    allocation = Allocation.read(out)
    assert shown == allocation.model_dump(mode="json")
    assert (allocation.deadline_s, allocation.quantile) == (30.0, 0.9)
    devices = {device.target: device for device in allocation.devices}
    assert devices["adb:fast"].probes <= 9
    assert devices["adb:slow"].probes >= 3
    assert devices["adb:slow"].availability == 0.5
    assert allocation.over_provision > 1


def test_auto_takes_the_estimator_that_the_profiles_call_the_best(tmp_path: Path) -> None:
    path = tmp_path / "phone.json"
    arms = tuple(arm(1, seconds, estimator=name) for name, seconds in SECONDS.items())
    errors = slope_errors(central=0.2, forward=0.9, tangent=0.03)
    made = profile("adb:phone", arms=arms, seconds=1e-9, errors=errors, measured=datetime.now(UTC))
    made.write(path)
    options = ("--directions", "1", "--estimator")

    result, out = run([str(path)], tmp_path, *options, "auto")

    assert result.exit_code == 0, result.output
    assert Allocation.read(out).estimator == "tangent"
    assert "- auto took tangent: 13.2 s · (1 + 0.03²) = 13.2 s (modelled)" in result.output
    assert "- auto did not take central: 24 s · (1 + 0.2²)" in result.output
    asked, _ = run([str(path)], tmp_path, *options, "forward")
    assert asked.exit_code == 0 and "auto" not in asked.output


def test_people_read_who_may_be_late(profiles: list[str], tmp_path: Path) -> None:
    result, _ = run(profiles, tmp_path, "--quantile", "0.9")
    assert result.exit_code == 0, result.output
    assert "late devices (after the makespan)" in result.output
    assert "slow down when hot" in result.output


def test_a_limit_that_nobody_keeps_is_an_error_with_reasons(
    profiles: list[str], tmp_path: Path
) -> None:
    result, out = run(profiles, tmp_path, "--deadline-s", "0.5")
    assert isinstance(result.exception, FwdllmError)
    assert "adb:fast: its first probe takes until" in str(result.exception)
    assert not out.exists()


@pytest.mark.parametrize(
    "options",
    [
        ("--batches", "1,2"),
        ("--noise-scale", "1"),
        ("--layers", "3"),
        ("--availability", "adb:fast"),
        ("--availability", "adb:fast=often"),
        ("--cap", "adb:fast=-1"),
        ("--floor-share", "2"),
        ("--estimator", "backward"),
    ],
)
def test_malformed_options_are_usage_errors(
    profiles: list[str], tmp_path: Path, options: tuple[str, ...]
) -> None:
    result, _ = run(profiles, tmp_path, *options)
    assert result.exit_code == 2


@pytest.mark.parametrize("options", [("--quantile", "1"), ("--availability", "adb:fast=2")])
def test_values_out_of_range_are_named(
    profiles: list[str], tmp_path: Path, options: tuple[str, ...]
) -> None:
    result, _ = run(profiles, tmp_path, *options)
    assert isinstance(result.exception, FwdllmError)


def test_the_report_shows_the_plan_and_its_notes(profiles: list[str], tmp_path: Path) -> None:
    _, out = run(profiles, tmp_path, "--quantile", "0.9", "--deadline-s", "60")
    section = allocation_section(Allocation.read(out), "allocation-1")
    facts = dict(section.facts)
    assert facts["deadline"] == "60 s" and "quantile 0.9" in facts["makespan (modelled)"]
    assert section.tables[0].rows[0][0] == "adb:fast"
    assert len(section.tables[0].columns) == len(section.tables[0].rows[0])


def test_a_kind_of_warning_is_one_line_however_many_devices_it_is_about(tmp_path: Path) -> None:
    fleet = [
        profile(
            f"p{number}",
            verdict="suspect",
            reasons=("modelled-not-measured",),
            measured=datetime.now(UTC),
        )
        for number in range(9)
    ]
    write_profiles(tmp_path / "fleet.jsonl", fleet)

    result, out = run([str(tmp_path / "fleet.jsonl")], tmp_path)

    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines() == [
        "warning: suspect profile: modelled-not-measured (9 devices: p0, p1, p2 and 6 more)"
    ]
    assert all(device.warnings for device in Allocation.read(out).devices)
