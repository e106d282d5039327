"""Activations and their derivatives, in operations that delegates take."""

from __future__ import annotations

import math

import torch

from exporters.executorch.arithmetic import Activation

_TANH_SLOPE, _TANH_CUBE = math.sqrt(2 / math.pi), 0.044715
# erf by Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: within 1.5e-7.
_ERF_P = 0.3275911
_ERF_POWERS = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)


def value(x: torch.Tensor, activation: Activation) -> torch.Tensor:
    """The activation of x."""
    if activation == "relu":
        return torch.relu(x)
    if activation == "tanh":
        return torch.tanh(x)
    if activation == "gelu":
        return torch.nn.functional.gelu(x)
    return 0.5 * x * (1.0 + _inner_tanh(x))


def derivative(x: torch.Tensor, y: torch.Tensor, activation: Activation) -> torch.Tensor:
    """The activation's derivative at x, where its value is y."""
    if activation == "relu":
        return torch.clamp(x * 1e30, 0.0, 1.0)
    if activation == "tanh":
        return 1.0 - y * y
    if activation == "gelu":  # Φ(x) + x φ(x)
        bell = torch.exp(x * x * -0.5)
        sign = torch.clamp(x * 1e30, -1.0, 1.0)
        below = torch.abs(x) * (_ERF_P / math.sqrt(2)) + 1.0
        t = torch.rsqrt(below * below)  # 1 / below, for which XNNPACK has no operation
        series = t * _ERF_POWERS[-1]
        for power in reversed(_ERF_POWERS[:-1]):
            series = (series + power) * t
        erf = sign * (1.0 - series * bell)
        return 0.5 + 0.5 * erf + x * bell * (1 / math.sqrt(2 * math.pi))
    tanh = _inner_tanh(x)
    slope = (x * x * (3 * _TANH_CUBE) + 1.0) * _TANH_SLOPE
    return 0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * slope


def _inner_tanh(x: torch.Tensor) -> torch.Tensor:
    """The tanh in the approximation of GELU (Hendrycks and Gimpel, 2016)."""
    return torch.tanh((x + x * x * x * _TANH_CUBE) * _TANH_SLOPE)
