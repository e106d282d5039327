"""What a bundle does not compute is refused without a device."""

from __future__ import annotations

import pytest

from device_bench.errors import SweepSettingsError
from device_bench.plans.sweep_plan import arms_of
from device_bench.plans.unfit_arms import refuse_unfit_arms
from tests.device_bench.fake_timing_runner import ADAPTED_LAYERS, CONTEXT_LENGTH, MANIFEST


@pytest.mark.parametrize(
    ("tokens", "layers", "said"),
    [
        (CONTEXT_LENGTH + 1, None, "do not fit the model's context"),
        (8, (0, ADAPTED_LAYERS[0] - 1), "no layer of 0-1 has LoRA"),
    ],
)
def test_an_arm_that_the_bundle_does_not_compute_is_refused(
    tokens: int, layers: tuple[int, int] | None, said: str
) -> None:
    with pytest.raises(SweepSettingsError, match=said):
        refuse_unfit_arms(arms_of([1], [8, tokens], [1], ["central"], [None, layers]), MANIFEST)  # type: ignore[arg-type]


def test_arms_that_it_computes_pass() -> None:
    layers = [None, (0, ADAPTED_LAYERS[0])]
    refuse_unfit_arms(arms_of([1], [CONTEXT_LENGTH], [1], ["central"], layers), MANIFEST)  # type: ignore[arg-type]
