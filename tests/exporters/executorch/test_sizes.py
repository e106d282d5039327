"""Which programs a request means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.errors import ExportError
from exporters.executorch.sizes import ProgramRequest, read_shapes
from exporters.manifest import Architecture


def context_of(length: int) -> Architecture:
    return Architecture(
        family="llama", layers=1, hidden_size=8, feed_forward_size=8, heads=1, key_value_heads=1,
        head_size=8, vocabulary_size=9, context_length=length, rope_theta=1e4, rope_scaling=None,
        rms_norm_epsilon=1e-5, tied_embeddings=False, attention_bias=False,
    )  # fmt: skip


shapes = st.lists(st.tuples(st.integers(1, 99), st.integers(1, 99)), min_size=1, max_size=4)


@given(shapes=shapes)
def test_shapes_read_as_they_are_written(shapes: list[tuple[int, int]]) -> None:
    text = ", ".join(f"{batch}x{length}" for batch, length in shapes)
    assert read_shapes(text) == tuple(shapes)


@pytest.mark.parametrize("text", ["", "8", "8x", "x8", "8x64;1x64", "axb"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ExportError, match="8x64"):
        read_shapes(text)


@pytest.mark.parametrize(("positions", "expected"), [("one", 3), ("all", 15), ("7", 7)])
def test_positions(positions: str, expected: int) -> None:
    programs = ProgramRequest(((3, 5),), positions).sizes(context_of(5))
    assert {sizes.positions for _, sizes in programs.values()} == {expected}


@pytest.mark.parametrize("positions", ["some", "16", "0", "-1"])
def test_impossible_positions_are_refused(positions: str) -> None:
    with pytest.raises(ExportError, match=r"positions"):
        ProgramRequest(((3, 5),), positions).sizes(context_of(5))


@given(
    shapes=shapes, loss=st.sets(st.integers(1, 9)), tangent=st.sets(st.integers(1, 9), min_size=1)
)
def test_every_size_has_a_method_of_its_own(
    shapes: list[tuple[int, int]], loss: set[int], tangent: set[int]
) -> None:
    request = ProgramRequest(tuple(shapes), loss_slots=tuple(loss), tangent_slots=tuple(tangent))
    programs = request.sizes(context_of(99))
    assert len(programs) == len(set(shapes)) * (len(loss) + len(tangent))
