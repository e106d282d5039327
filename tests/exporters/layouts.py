"""Parameter layouts of any shape, and supports over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from exporters.lora.support import Matrix, Support


@dataclass(frozen=True)
class FlatTensor:
    layer: int
    matrix: Matrix
    slice: slice


@dataclass(frozen=True)
class FlatLayout:
    """Any tensors one after another."""

    tensors: tuple[FlatTensor, ...]

    @property
    def parameters(self) -> int:
        return self.tensors[-1].slice.stop if self.tensors else 0

    @classmethod
    def of(cls, tensors: Sequence[tuple[int, Matrix, int]]) -> FlatLayout:
        """From (layer, matrix, parameters) of each tensor."""
        built, start = [], 0
        for layer, matrix, size in tensors:
            built.append(FlatTensor(layer, matrix, slice(start, start + size)))
            start += size
        return cls(tuple(built))


def layouts() -> st.SearchStrategy[FlatLayout]:
    matrices: st.SearchStrategy[Matrix] = st.sampled_from(["A", "B", "head"])
    tensor = st.tuples(st.integers(0, 4), matrices, st.integers(1, 150))
    return st.lists(tensor, min_size=1, max_size=8).map(FlatLayout.of)


supports = st.builds(
    Support,
    layers=st.none() | st.tuples(st.integers(0, 3), st.integers(0, 5)),
    matrices=st.sampled_from(["AB", "B"]),
    head=st.booleans(),
)
