"""`fwdllm compare`: the table, and the exit codes that a build server looks at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from exporters.errors import FwdllmError
from tests.device_bench.made_samples import arm, write_samples
from toolkit.cli.app import app
from toolkit.cli.compare import NOT_JUDGED, SLOWER


def jobs(median: float, count: int = 9) -> list[list[float]]:
    return [[median * (1 + 0.001 * number)] for number in range(count)]


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    return {
        "base": write_samples(tmp_path / "base", {arm(1): jobs(1.0), arm(2): jobs(2.0)}),
        "slower": write_samples(tmp_path / "slower", {arm(1): jobs(1.2), arm(2): jobs(2.0)}),
        "faster": write_samples(tmp_path / "faster", {arm(1): jobs(0.8), arm(2): jobs(2.0)}),
        "few": write_samples(tmp_path / "few", {arm(1): jobs(9.0, 8), arm(2): jobs(2.0)}),
    }


def compare(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["compare", *(str(argument) for argument in arguments)])


@pytest.mark.parametrize(
    ("other", "options", "code"),
    [
        ("slower", (), 0),
        ("slower", ("--fail-if-slower", 10), SLOWER),
        ("slower", ("--fail-if-slower", 30), 0),
        ("faster", ("--fail-if-slower", 0), 0),
        ("base", ("--fail-if-slower", 0), 0),
        ("few", (), 0),
        ("few", ("--fail-if-slower", 10), NOT_JUDGED),
    ],
)
def test_a_build_fails_only_on_what_is_shown(
    folders: dict[str, Path], other: str, options: tuple[object, ...], code: int
) -> None:
    result = compare(folders["base"], folders[other], *options)
    assert result.exit_code == code, result.output


def test_the_table_and_the_document_say_the_same(folders: dict[str, Path]) -> None:
    shown = compare(folders["base"], folders["faster"])
    told = json.loads(compare(folders["base"], folders["faster"], "--json").stdout)

    assert [each["verdict"] for each in told["arms"]] == ["B faster", "no difference shown"]
    assert [each["ratio"] for each in told["arms"]] == pytest.approx([0.8, 1.0])
    rows = [line.split("│") for line in shown.stdout.splitlines() if line.startswith("│ 1,")]
    assert [[row[4].strip(), row[6].strip()] for row in rows] == [
        ["0.8", "B faster"],
        ["1", "no difference"],
    ]


def test_too_few_jobs_name_their_remedy(folders: dict[str, Path]) -> None:
    result = compare(folders["base"], folders["few"])
    assert "--blocks 9" in result.stderr


def test_no_folder_is_an_error_and_no_verdict(folders: dict[str, Path], tmp_path: Path) -> None:
    result = compare(folders["base"], tmp_path / "nothing", "--fail-if-slower", 1)
    assert isinstance(result.exception, FwdllmError)
