"""`fwdllm plan` and its convergence table, from files."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from made_profiles import profile
from typer.testing import CliRunner

from exporters.errors import ContractError, FwdllmError
from toolkit.cli.plan import plan
from toolkit.plan.contract import Plan
from toolkit.plan.convergence import ConvergenceRow, ConvergenceTable, read_convergence
from toolkit.plan.own_runs import table_names

HEADER = "method,target_accuracy,rounds,clients,batch,tokens,probes,bp_steps,bytes_down,bytes_up"
OURS = "fwdllm,0.85,10,2,4,32,120,,1000,500"
BP = "bp-lora-fedavg,0.85,5,2,4,32,,40,90000,90000"


@pytest.fixture
def fleet(tmp_path: Path) -> list[str]:
    paths = []
    for target in ("a", "b"):
        path = tmp_path / f"{target}.json"
        profile(target, measured=datetime.now(UTC)).write(path)
        paths.append(str(path))
    return paths


def csv_table(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "convergence.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def run(*arguments: object):
    app = typer.Typer()
    app.command()(plan)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_json_is_the_plan(fleet: list[str], tmp_path: Path) -> None:
    table = csv_table(tmp_path, HEADER, OURS, BP)
    result = run(*fleet, "--convergence", table, "--link-mbit", "10", "--json")
    assert result.exit_code == 0, result.output
    made = Plan.model_validate_json(result.stdout)
    assert [method.method for method in made.methods] == ["fwdllm", "bp-lora-fedavg"]
    assert made.link_bits_per_s == 10e6
    assert any("wins here" in text or "win here" in text for text in made.verdicts)


def test_people_read_the_verdict_and_what_it_rests_on(fleet: list[str], tmp_path: Path) -> None:
    result = run(*fleet, "--convergence", csv_table(tmp_path, HEADER, OURS, BP))
    assert result.exit_code == 0, result.output
    assert "here: " in result.output and "(modelled)" in result.output
    assert "a backpropagation step as 3 forward passes" in result.output.replace("\n", " ")


@pytest.mark.parametrize("name", table_names())
def test_the_projects_own_runs_are_at_hand(fleet: list[str], name: str) -> None:
    result = run(*fleet, "--convergence", name, "--estimator", "central", "--json")
    assert result.exit_code == 0, result.output
    methods = Plan.model_validate_json(result.stdout).methods
    assert any(method.backpropagates or method.head_only for method in methods)
    assert all(method.seconds is not None for method in methods if method.reached)


def test_a_table_that_nobody_has_is_named(fleet: list[str]) -> None:
    result = run(*fleet, "--convergence", "absent")
    assert isinstance(result.exception, FwdllmError)
    assert "there is no convergence table absent" in result.exception.message


def test_slopes_may_be_priced_by_another_estimator(fleet: list[str], tmp_path: Path) -> None:
    """The profiles have no tangents: without that, nothing is known of the method."""
    table = csv_table(tmp_path, f"{HEADER},estimator", f"{OURS},tangent", f"{BP},")
    seconds = []
    for option in ((), ("--estimator", "central")):
        result = run(*fleet, "--convergence", table, "--json", *option)
        made = Plan.model_validate_json(result.stdout)
        seconds.append(made.methods[0].seconds)
        said = any("fwdllm cannot be priced here" in text for text in made.verdicts)
        assert said == (not option)
    assert seconds[0] is None and seconds[1] is not None


def test_csv_and_json_hold_the_same(tmp_path: Path) -> None:
    from_csv = read_convergence(csv_table(tmp_path, HEADER, OURS, BP))
    path = tmp_path / "convergence.json"
    ConvergenceTable(task="news", model="small", rows=from_csv.rows).write(path)
    assert read_convergence(path).rows == from_csv.rows
    assert json.loads(path.read_text())["rows"][0]["probes"] == 120


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([HEADER], "no rows"),
        ([HEADER, OURS.replace("0.85", "1.5")], "line 2 .*target_accuracy"),
        ([HEADER, OURS, BP.replace(",40,", ",,")], "line 3 .*probes, forward passes or"),
        ([HEADER, OURS + ",9"], "line 2"),
        ([HEADER + ",speed", OURS + ",9"], "speed"),
        ([HEADER, OURS, BP.replace("bp-lora-fedavg", "fwdllm")], "different kinds of work"),
    ],
)
def test_a_malformed_table_names_its_line(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        read_convergence(csv_table(tmp_path, *lines))


def test_a_table_that_is_not_there_or_not_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="cannot read"):
        read_convergence(tmp_path / "absent.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ContractError, match="UTF-8"):
        read_convergence(tmp_path / "binary.csv")


def test_an_unknown_target_is_a_typed_error(fleet: list[str], tmp_path: Path) -> None:
    table = csv_table(tmp_path, HEADER, OURS)
    result = run(*fleet, "--convergence", table, "--target-accuracy", "0.5")
    assert isinstance(result.exception, FwdllmError) and result.exit_code == 1


@pytest.mark.parametrize("option", [("--bp-passes", "0"), ("--memory-limit-mb", "0")])
def test_malformed_options_are_usage_errors(
    fleet: list[str], tmp_path: Path, option: tuple[str, str]
) -> None:
    result = run(*fleet, "--convergence", csv_table(tmp_path, HEADER, OURS), *option)
    assert result.exit_code == 2


def test_a_row_without_work_is_refused() -> None:
    with pytest.raises(ValueError, match="probes, forward passes"):
        ConvergenceRow(
            method="idle",
            target_accuracy=0.5,
            rounds=1,
            clients=1,
            batch=1,
            tokens=1,
            bytes_down=0,
            bytes_up=0,
        )
