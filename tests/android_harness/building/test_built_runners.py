"""What is in the cache of runners, and what can go."""

from __future__ import annotations

from pathlib import Path

import pytest

from android_harness.building import recipe as recipes
from android_harness.building.built_runners import built_runners, remove_stale_runners
from android_harness.building.recipe import Recipe, host_abi, native_recipe, phone_recipes
from exporters.durable_files import sha256_of


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FWDLLM_CACHE", str(tmp_path))
    return tmp_path


def put(recipe: Recipe) -> Path:
    recipe.path.parent.mkdir(parents=True)
    recipe.path.write_text("a runner")
    return recipe.path


def test_an_empty_cache_has_no_runners() -> None:
    assert built_runners() == remove_stale_runners() == []


def test_what_was_built_is_told_with_what_it_is_for() -> None:
    native = put(native_recipe())
    (phones,) = phone_recipes("arm64-v8a", ["i8mm"], "ndk", ["vulkan", "opencl"])
    put(phones)
    of_phones, here = sorted(built_runners(), key=lambda runner: runner.abi)
    assert of_phones.labels == ("arm64-v8a", "i8mm", "ndk", "opencl", "vulkan")
    assert (of_phones.engine, of_phones.current) == ("ggml", True)
    assert here.labels == (host_abi(), "native", "here")
    assert (here.path, here.bytes, here.sha256) == (native, 8, sha256_of(native))
    assert here.current


def test_only_the_stale_go(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of changed sources, and those from before folders were named as now."""
    before = [put(recipe) for recipe in (native_recipe(), *phone_recipes("x86_64"))]
    old = cache / "runner" / "x86_64-0123456789abcdef" / "fwdllm-runner"
    old.parent.mkdir()
    old.touch()
    monkeypatch.setattr(recipes, "SDIST_SHA256", "of another ggml")
    current = put(native_recipe())
    assert {runner.path for runner in remove_stale_runners()} == {*before, old}
    assert [runner.path for runner in built_runners()] == [current]
    assert [path.name for path in (cache / "runner").iterdir()] == [current.parent.name]
