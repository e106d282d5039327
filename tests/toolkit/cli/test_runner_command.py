"""`fwdllm runner list` and `clean`, and what `build` refuses before it compiles anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from android_harness.building.recipe import host_abi, native_recipe, phone_recipes
from exporters.errors import FwdllmError
from tests.command_line import fwdllm
from toolkit.cli.app import app


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FWDLLM_CACHE", str(tmp_path))
    return tmp_path


def test_the_list_says_what_each_runner_is_for() -> None:
    for recipe in (native_recipe(), *phone_recipes("arm64-v8a", None, "zig")):
        recipe.path.parent.mkdir(parents=True)
        recipe.path.touch()
    listed = fwdllm("runner", "list")
    assert {(row["abi"], row["variant"], row["toolchain"]) for row in listed} == {
        (host_abi(), "native", "here"),
        *(("arm64-v8a", variant, "zig") for variant in ("baseline", "dotprod", "i8mm")),
    }
    assert all(row["current"] for row in listed)
    shown = CliRunner().invoke(app, ["runner", "list"]).output
    assert "ggml arm64-v8a dotprod zig: current" in shown


def test_clean_removes_the_stale_alone(cache: Path) -> None:
    recipe = native_recipe()
    old = cache / "runner" / "x86_64.native.here.0123456789abcdef" / recipe.path.name
    for path in (recipe.path, old):
        path.parent.mkdir(parents=True)
        path.touch()
    assert [row["path"] for row in fwdllm("runner", "clean")] == [str(old)]
    assert [row["path"] for row in fwdllm("runner", "list")] == [str(recipe.path)]


def test_a_variant_without_an_abi_is_refused() -> None:
    result = CliRunner().invoke(app, ["runner", "build", "--variant", "dotprod"])
    assert result.exit_code == 2
    assert "name their" in result.output


def test_an_unknown_abi_is_refused() -> None:
    with pytest.raises(FwdllmError, match="no runner can be built for armeabi-v7a"):
        CliRunner().invoke(app, ["runner", "build", "--abi", "armeabi-v7a"], catch_exceptions=False)
