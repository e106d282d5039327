"""Which of the built runners a device gets, and whether a runner can start there at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from android_harness.building.accelerators import Accelerator
from android_harness.building.elf import read_elf
from android_harness.building.engines import Engine
from android_harness.building.recipe import (
    Recipe,
    host_abi,
    host_features,
    native_recipe,
    phone_recipe,
)
from android_harness.building.toolchains import TOOLCHAINS
from android_harness.building.variants import PHONE_ABIS, Variant, variants, variants_for
from android_harness.errors import (
    RunnerMissingError,
    UnsupportedDeviceError,
    WrongAbiError,
)
from android_harness.facts.device_facts import DeviceFacts
from android_harness.target import Target
from exporters.errors import FwdllmError

_VARIANT = "FWDLLM_RUNNER_VARIANT"


def choose_runner(
    target: Target,
    facts: DeviceFacts,
    engine: Engine = "ggml",
    accelerators: Sequence[Accelerator] = (),
) -> Path:
    """The best runner that was built for what all cores of the device have.

    A device that is like this machine gets this machine's own, when that was built. Where the ABI
    has the variant that $FWDLLM_RUNNER_VARIANT names, it is that one, whatever the device has.

    Raises:
        UnsupportedDeviceError: no runner can be built for the device's ABIs.
        RunnerMissingError: none was built; the remedy has the command.
        FwdllmError: $FWDLLM_RUNNER_VARIANT names no variant of any ABI.
    """
    abi = _abi(facts, target.name)
    forced = _forced(abi, engine)
    recipes = [
        phone_recipe(abi, variant, toolchain, accelerators, engine=engine)
        for variant in ([forced] if forced else variants_for(abi, facts.common_features, engine))
        for toolchain in TOOLCHAINS
    ]
    if forced is None and _is_like_this_machine(target, facts):
        recipes.insert(0, native_recipe(accelerators, engine=engine))
    for recipe in recipes:
        if recipe.path.is_file():
            return recipe.path
    raise _missing(recipes[0], forced, target.name)


def check_runner_starts(runner: Path, target: Target, facts: DeviceFacts) -> None:
    """Before the push: a wrong binary shows only as a shell's syntax error on the device.

    Raises:
        WrongAbiError: the runner is for another processor, or needs a loader that the device lacks.
    """
    program = read_elf(runner)
    if program is None:
        return
    if program.abi not in facts.abis:
        raise WrongAbiError(
            f"the runner is built for {program.abi}, the device runs {', '.join(facts.abis)}",
            device=target.name,
            file=runner,
        )
    if program.interpreter is not None and not _exists(target, program.interpreter):
        raise WrongAbiError(
            f"the runner needs {program.interpreter}, which the device does not have",
            device=target.name,
            remedy=f"build one that needs nothing with `fwdllm runner build --abi {program.abi}`",
            file=runner,
        )


def _abi(facts: DeviceFacts, device: str) -> str:
    """The first of the device's ABIs that runners are built for."""
    for abi in facts.abis:
        if abi in PHONE_ABIS:
            return abi
    raise UnsupportedDeviceError(
        f"the device runs {', '.join(facts.abis)}, a runner {' or '.join(PHONE_ABIS)} alone",
        device=device,
        remedy="use a device with a 64-bit system",
    )


def _is_like_this_machine(target: Target, facts: DeviceFacts) -> bool:
    """Whether programs that were compiled here, for here, start there as well."""
    here = read_elf(Path(sys.executable))
    return (
        facts.abi == host_abi()
        and set(host_features().split()) <= set(facts.common_features)
        and here is not None
        and (here.interpreter is None or _exists(target, here.interpreter))
    )


def _exists(target: Target, path: str) -> bool:
    return target.run(["test", "-e", path]).exit_code == 0


def _forced(abi: str, engine: Engine) -> Variant | None:
    """What $FWDLLM_RUNNER_VARIANT asks for; a fleet may have devices of ABIs without it."""
    name = os.environ.get(_VARIANT)
    known = {variant.name for each in PHONE_ABIS for variant in variants(each)}
    if name and name not in known:
        raise FwdllmError(
            f"{_VARIANT} is {name}, which is no variant of a runner",
            remedy=f"choose one of {', '.join(sorted(known))}, or unset it",
        )
    return next((variant for variant in variants(abi, engine) if variant.name == name), None)


def _missing(recipe: Recipe, forced: Variant | None, device: str) -> RunnerMissingError:
    """None is built of those that would do; `recipe` is the best of them."""
    what = f"there is no runner for {recipe.abi}"
    options = []
    if recipe.engine != "ggml":
        what += f" and {recipe.engine}"
        options.append(f"--backend {recipe.engine}")
    if recipe.phones is not None:
        options.append(f"--abi {recipe.abi}")
    if forced:
        options.append(f"--variant {forced.name}")
    options += [f"--with {each}" for each in recipe.accelerators]
    return RunnerMissingError(
        " with ".join([what, *recipe.accelerators]),
        device=device,
        remedy=f"build it with `{' '.join(['fwdllm runner build', *options])}`",
        file=recipe.path,
    )
