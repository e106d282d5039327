"""Operations that no delegate takes do not pass unnoticed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from exporters.errors import ExportError
from exporters.executorch.backends.registry import backend_named
from exporters.executorch.delegation import delegation_of, refuse_portable
from exporters.executorch.lower import Method, lower


class _SortedSum(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sort(x + 1)[0] * 2


def test_portable_operations_are_counted_and_refused() -> None:
    backend = backend_named("xnnpack")
    program = lower({"forward": Method(_SortedSum(), (torch.zeros(2, 4),))}, backend, "f32")
    delegation = delegation_of(program, "forward", backend)
    assert delegation.portable == {"sort": 1}
    assert delegation.subgraphs == 2 and delegation.delegated >= 2
    with pytest.raises(ExportError, match=r"does not take sort.*--allow-portable"):
        refuse_portable([delegation], backend)


def test_what_a_compiler_fails_on_is_an_export_error() -> None:
    class Branches(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ExportError, match="cannot be lowered for xnnpack"):
        lower({"forward": Method(Branches(), (torch.zeros(2),))}, backend_named("xnnpack"), "f32")
