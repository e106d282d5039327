"""Inputs for backends that choose ranges ahead of time, and masks that leave room in them."""

from __future__ import annotations

import numpy as np
import torch

from exporters.executorch.calibration import calibration_of, narrow_masks
from exporters.executorch.encoder import Encoder
from exporters.executorch.programs import describe, program_module
from exporters.executorch.sizes import Sizes
from exporters.executorch.subject import Comparison
from exporters.lora.request import LoraRequest
from exporters.manifest import Delegation
from tests.exporters.executorch.models import adapted, random_encoder

NOTHING = Delegation(backend="none", delegated=0, subgraphs=0, portable={})
SIZES = Sizes(batch=2, length=7, positions=14, slots=3)


def test_calibration_has_the_adapter_with_perturbations() -> None:
    model = adapted(LoraRequest(rank=2))
    names = ("tokens", "rows", "targets", "weights", "logit_bias")
    run = dict(zip(names, model.inputs(), strict=True))
    comparison = Comparison(None, 2, 7, None, lambda program: [run, run])  # type: ignore[arg-type]
    for kind in ("loss", "tangent"):
        program = describe(kind, SIZES, model.decoder, model.layout, NOTHING)
        first, second = calibration_of(program, comparison, model.values)
        assert [tuple(each.shape) for each in first] == [each.shape for each in program.inputs]
        assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))
        if kind == "loss":
            moved = np.abs(first[5].numpy() - model.values)
            assert np.allclose(moved, 1e-2, atol=1e-6)
        else:
            assert np.array_equal(first[5].numpy(), model.values)
            assert set(np.unique(first[6].numpy())) == {-1.0, 1.0}


def test_narrow_masks_still_close() -> None:
    model = adapted(LoraRequest(rank=2))
    lora = np.stack([model.values] * SIZES.slots)
    before = model.run("loss", SIZES, lora)[0]
    module = program_module("loss", model.decoder, model.layout, SIZES).eval()
    narrow_masks(module)
    with torch.no_grad():
        after = module(*model.inputs(), torch.from_numpy(lora))[0].numpy()
    assert np.allclose(before, after, rtol=1e-6)
    assert min(float(each.min()) for each in module.frame.buffers()) == -32.0


def test_masks_of_encoders_are_narrowed_too() -> None:
    encoder = Encoder(random_encoder("bert"))
    narrow_masks(encoder)
    assert encoder.closed == 32.0
