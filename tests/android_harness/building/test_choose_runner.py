"""Which runner a device gets. The runners are files with an ELF header and nothing behind it."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from android_harness.building.choose_runner import check_runner_starts, choose_runner
from android_harness.building.recipe import (
    Recipe,
    host_abi,
    host_features,
    native_recipe,
    phone_recipe,
    phone_recipes,
)
from android_harness.building.toolchains import Toolchain
from android_harness.building.variants import PHONE_ABIS, variants
from android_harness.errors import RunnerMissingError, UnsupportedDeviceError, WrongAbiError
from android_harness.facts.device_facts import DeviceFacts, read_device_facts
from android_harness.fake_phone import FakePhone
from android_harness.target import Target
from android_harness.targets.local_target import LocalTarget
from android_harness.targets.open_target import open_target
from exporters.errors import FwdllmError

DOTPROD = ("asimd", "atomics", "asimdhp", "asimddp")


@pytest.fixture(autouse=True)
def cache(private_home: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FWDLLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FWDLLM_RUNNER_VARIANT", raising=False)


@pytest.fixture
def device(cache: None) -> Iterator[LocalTarget]:
    """Asked only for what lies in its file system: this machine's."""
    with LocalTarget() as target:
        yield target


@pytest.fixture
def facts(device: LocalTarget) -> DeviceFacts:
    return read_device_facts(device)


def phone(facts: DeviceFacts, abis: str, *features: str) -> DeviceFacts:
    listed = tuple(abis.split(","))
    return facts.model_copy(update={"abi": listed[0], "abis": listed, "common_features": features})


def arm(name: str, toolchain: Toolchain = "zig") -> Recipe:
    (variant,) = (each for each in variants("arm64-v8a") if each.name == name)
    return phone_recipe("arm64-v8a", variant, toolchain)


def put(recipe: Recipe) -> Path:
    recipe.path.parent.mkdir(parents=True)
    recipe.path.touch()
    return recipe.path


def test_a_phone_gets_the_best_that_its_processor_can_run(
    device: Target, facts: DeviceFacts
) -> None:
    built = {name: put(arm(name)) for name in ("baseline", "dotprod", "i8mm")}
    assert choose_runner(device, phone(facts, "arm64-v8a")) == built["baseline"]
    assert choose_runner(device, phone(facts, "arm64-v8a", *DOTPROD)) == built["dotprod"]
    i8mm = phone(facts, "arm64-v8a,armeabi-v7a", *DOTPROD, "i8mm")
    assert choose_runner(device, i8mm) == built["i8mm"]


def test_a_lesser_one_does_while_the_best_is_not_built(device: Target, facts: DeviceFacts) -> None:
    baseline = put(arm("baseline", "gcc"))
    assert choose_runner(device, phone(facts, "arm64-v8a", *DOTPROD)) == baseline


def test_the_processor_matters_more_than_the_compiler(device: Target, facts: DeviceFacts) -> None:
    put(arm("baseline", "ndk"))
    gcc = put(arm("dotprod", "gcc"))
    assert choose_runner(device, phone(facts, "arm64-v8a", *DOTPROD)) == gcc
    ndk = put(arm("dotprod", "ndk"))
    assert choose_runner(device, phone(facts, "arm64-v8a", *DOTPROD)) == ndk


@pytest.mark.parametrize(
    ("name", "variant"),
    [("pixel-8", "i8mm"), ("galaxy-s9-us", "baseline"), ("leagoo-t5c", "baseline")],
)
def test_recorded_phones_get_theirs(shared_data: Path, name: str, variant: str) -> None:
    recorded = json.loads((shared_data / "phones" / "proc_sys" / f"{name}.json").read_text())
    for abi in PHONE_ABIS:
        for recipe in phone_recipes(abi, None, "zig"):
            put(recipe)
    with (
        FakePhone(props=recorded["props"], files=recorded["files"]) as phone,
        open_target(phone.target) as target,
    ):
        chosen = choose_runner(target, read_device_facts(target))
    assert f".{variant}." in chosen.parent.name


def test_a_variant_can_be_forced(
    device: Target, facts: DeviceFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = {name: put(arm(name)) for name in ("baseline", "i8mm")}
    for name in built:
        monkeypatch.setenv("FWDLLM_RUNNER_VARIANT", name)
        assert choose_runner(device, phone(facts, "arm64-v8a", *DOTPROD)) == built[name]
    monkeypatch.setenv("FWDLLM_RUNNER_VARIANT", "dotprod")
    with pytest.raises(RunnerMissingError, match="--abi arm64-v8a --variant dotprod`"):
        choose_runner(device, phone(facts, "arm64-v8a"))
    monkeypatch.setenv("FWDLLM_RUNNER_VARIANT", "sme")
    with pytest.raises(FwdllmError, match="no variant of a runner"):
        choose_runner(device, phone(facts, "arm64-v8a"))


def test_a_forced_variant_is_not_for_abis_without_it(
    device: Target, facts: DeviceFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fleet has devices of several kinds."""
    baseline, *_ = [put(recipe) for recipe in phone_recipes("x86_64", None, "zig")]
    monkeypatch.setenv("FWDLLM_RUNNER_VARIANT", "dotprod")
    assert choose_runner(device, phone(facts, "x86_64")) == baseline


def test_a_device_like_this_machine_gets_this_machines_own(
    device: Target, facts: DeviceFacts
) -> None:
    for recipe in phone_recipes(host_abi()):
        put(recipe)
    native = put(native_recipe())
    assert choose_runner(device, facts) == native


def test_a_processor_that_lacks_something_of_this_one_gets_a_phones(
    device: Target, facts: DeviceFacts
) -> None:
    put(native_recipe())
    (first, *_) = [put(recipe) for recipe in phone_recipes(host_abi())]
    missing_one = host_features().split()[1:]
    lesser = facts.model_copy(update={"common_features": tuple(missing_one)})
    assert choose_runner(device, lesser).parent.name.startswith(host_abi())
    assert ".native." not in str(choose_runner(device, lesser))
    assert choose_runner(device, phone(facts, host_abi())) == first


def test_what_is_missing_comes_with_the_command_that_builds_it(
    device: Target, facts: DeviceFacts
) -> None:
    with pytest.raises(RunnerMissingError, match="`fwdllm runner build`"):
        choose_runner(device, facts)
    for_phone = phone(facts, "arm64-v8a")
    with pytest.raises(RunnerMissingError, match="`fwdllm runner build --abi arm64-v8a`"):
        choose_runner(device, for_phone)
    with pytest.raises(RunnerMissingError, match="--abi arm64-v8a --with opencl`"):
        choose_runner(device, for_phone, "ggml", ["opencl"])
    with pytest.raises(RunnerMissingError, match="--backend executorch --abi arm64-v8a`"):
        choose_runner(device, for_phone, "executorch")


def test_a_32_bit_phone_is_told_that_no_runner_is_for_it(
    device: Target, facts: DeviceFacts
) -> None:
    with pytest.raises(UnsupportedDeviceError, match="runs armeabi-v7a, armeabi, a runner arm64"):
        choose_runner(device, phone(facts, "armeabi-v7a,armeabi"))


def program(path: Path, machine: int, interpreter: bytes | None) -> Path:
    """A 64-bit ELF header, followed by the segment that names a loader."""
    header = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header += struct.pack("<HHIQQQIHHH", 2, machine, 1, 0, 64, 0, 0, 64, 56, int(bool(interpreter)))
    name = (interpreter or b"") + b"\0"
    segment = struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(name), len(name), 1)
    path.write_bytes(header.ljust(64, b"\0") + segment + name)
    return path


def test_a_program_whose_loader_the_device_lacks_is_refused(
    device: Target, facts: DeviceFacts, tmp_path: Path
) -> None:
    x86 = phone(facts, "x86_64")
    for_android = program(tmp_path / "runner", 62, b"/system/bin/linker64")
    with pytest.raises(WrongAbiError, match="needs /system/bin/linker64") as caught:
        check_runner_starts(for_android, device, x86)
    assert "--abi x86_64" in caught.value.remedy
    check_runner_starts(program(tmp_path / "there", 62, b"/bin/sh"), device, x86)
    check_runner_starts(program(tmp_path / "static", 62, None), device, x86)


def test_a_program_for_another_processor_is_refused(
    device: Target, facts: DeviceFacts, tmp_path: Path
) -> None:
    with pytest.raises(WrongAbiError, match="for arm64-v8a, the device runs x86_64"):
        check_runner_starts(program(tmp_path / "r", 183, None), device, phone(facts, "x86_64"))


def test_a_script_is_left_to_the_device(device: Target, facts: DeviceFacts, tmp_path: Path) -> None:
    script = tmp_path / "runner"
    script.write_text("#!/bin/sh\n")
    check_runner_starts(script, device, facts)
