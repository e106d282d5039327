"""Which layers and modules a fresh adapter gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.errors import ExportError
from exporters.lora.request import LoraRequest, layer_range, layers_text


@given(layers=st.integers(1, 100), data=st.data())
def test_layers_are_the_ones_written(layers: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, layers - 1))
    last = data.draw(st.integers(first, layers - 1))
    chosen = LoraRequest(layers=f"{first}-{last}").chosen_layers(layers)
    assert chosen == list(range(first, last + 1))
    assert LoraRequest(layers="all").chosen_layers(layers) == list(range(layers))
    count = data.draw(st.integers(1, layers))
    assert LoraRequest(layers=f"last:{count}").chosen_layers(layers) == list(
        range(layers - count, layers)
    )


@given(layers=st.integers(1, 100), data=st.data())
def test_a_range_reads_as_it_is_written(layers: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, layers - 1))
    last = data.draw(st.integers(first, layers - 1))
    assert layer_range(layers_text((first, last)), layers) == (first, last)
    assert layers_text(None) == "all"


@pytest.mark.parametrize("layers", ["", "first:2", "last:", "last:0", "last:5", "2-1", "0-4", "-1"])
def test_layers_that_make_no_sense_are_refused(layers: str) -> None:
    with pytest.raises(ExportError, match="layers") as refusal:
        LoraRequest(layers=layers).check_fresh(4)
    assert "last:N" in refusal.value.remedy


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (LoraRequest(targets=("q_proj", "lm_head")), "lm_head"),
        (LoraRequest(targets=()), "nothing"),
        (LoraRequest(rank=0), "rank"),
        (LoraRequest(alpha=0.0), "alpha"),
    ],
)
def test_adapters_that_cannot_be_made_are_refused(request_: LoraRequest, reason: str) -> None:
    with pytest.raises(ExportError, match=reason):
        request_.check_fresh(4)
