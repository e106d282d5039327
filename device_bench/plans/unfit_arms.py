"""Arms that no device can measure, since the bundle does not compute them."""

from __future__ import annotations

from collections.abc import Sequence

from device_bench.errors import SweepSettingsError
from device_bench.plans.examples import RandomExamples
from device_bench.plans.program_sizes import refuse_arms_without_program
from device_bench.plans.sweep_plan import Arm
from exporters.lora.request import layers_text
from exporters.manifest import Manifest


def refuse_unfit_arms(arms: Sequence[Arm], manifest: Manifest) -> None:
    """Before a device is touched.

    Raises:
        SweepSettingsError: an arm moves layers without LoRA, is longer than the model's context, or
            no program computes it.
    """
    adapted = manifest.lora.layers
    for first, last in (arm.layers for arm in arms if arm.layers is not None):
        if not any(first <= layer <= last for layer in adapted):
            raise SweepSettingsError(
                f"no layer of {layers_text((first, last))} has LoRA",
                remedy=f"choose among the layers {adapted[0]} to {adapted[-1]}",
            )
    RandomExamples(arms, manifest.architecture)
    refuse_arms_without_program(arms, manifest.programs)
