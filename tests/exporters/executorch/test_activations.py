"""Activations and derivatives against PyTorch's."""

from __future__ import annotations

import pytest
import torch

from exporters.executorch import activations
from exporters.executorch.arithmetic import Activation

REFERENCE = {
    "gelu": torch.nn.functional.gelu,
    "gelu_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    "relu": torch.relu,
    "tanh": torch.tanh,
}


@pytest.mark.parametrize("activation", REFERENCE)
def test_values_and_derivatives(activation: Activation) -> None:
    x = torch.cat([torch.linspace(-12, 12, 4001), torch.tensor([0.0, 1e-8, -1e-8, 60.0, -60.0])])
    if activation == "relu":
        x = x[x != 0]
    y, expected = torch.func.jvp(REFERENCE[activation], (x,), (torch.ones_like(x),))
    assert torch.allclose(activations.value(x, activation), y, rtol=1e-6, atol=1e-6)
    assert torch.allclose(activations.derivative(x, y, activation), expected, atol=1e-5)
