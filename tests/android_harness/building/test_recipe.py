"""What is the same runner, and what is another one."""

from __future__ import annotations

import pytest

from android_harness.building.accelerators import RunnerBuildError
from android_harness.building.recipe import native_recipe, phone_recipes
from android_harness.building.toolchains import NDK_VARIABLES, TOOLCHAINS
from android_harness.building.variants import PHONE_ABIS


@pytest.fixture(autouse=True)
def no_ndk(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in NDK_VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def test_each_abi_variant_toolchain_and_accelerator_is_a_runner_of_its_own() -> None:
    recipes = [native_recipe(), native_recipe(["vulkan"])]
    for abi in PHONE_ABIS:
        for toolchain in TOOLCHAINS:
            recipes += phone_recipes(abi, None, toolchain)
            recipes += phone_recipes(abi, None, toolchain, ["vulkan", "opencl"])
    assert len({recipe.path for recipe in recipes}) == len(recipes) == 2 + 2 * 3 * (3 + 2)


def test_the_order_of_accelerators_does_not_matter() -> None:
    assert native_recipe(["opencl", "vulkan"]).path == native_recipe(["vulkan", "opencl"]).path


def test_all_variants_are_built_by_default_the_least_first() -> None:
    names = [r.phones.variant.name for r in phone_recipes("arm64-v8a") if r.phones is not None]
    assert names == ["baseline", "dotprod", "i8mm"]


def test_executorch_has_one_runner_for_all_processors() -> None:
    """XNNPACK chooses its kernels when the program runs."""
    assert len(phone_recipes("arm64-v8a", engine="executorch")) == 1


def test_the_ndk_is_taken_where_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {r.phones.toolchain for r in phone_recipes("x86_64") if r.phones} == {"zig"}
    for variable in reversed(NDK_VARIABLES):
        monkeypatch.setenv(variable, "/opt/ndk")
        assert {r.phones.toolchain for r in phone_recipes("x86_64") if r.phones} == {"ndk"}
        monkeypatch.delenv(variable)


def test_an_abi_without_runners_is_refused() -> None:
    with pytest.raises(RunnerBuildError, match="for armeabi-v7a") as caught:
        phone_recipes("armeabi-v7a")
    assert caught.value.remedy == "choose arm64-v8a or x86_64"


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(RunnerBuildError, match="has no variant sve") as caught:
        phone_recipes("arm64-v8a", ["dotprod", "sve"])
    assert caught.value.remedy == "choose of baseline, dotprod, i8mm"
