"""The frozen test vectors of directions, which the native runner's own tests read too."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters.lora.directions import direction

VECTORS = json.loads((Path(__file__).parents[1] / "directions_vectors.json").read_text())["vectors"]


def named(vector: dict[str, Any]) -> str:
    return f"{vector['distribution']}-{vector['seed']}"


def of(distribution: str) -> list[dict[str, Any]]:
    return [vector for vector in VECTORS if vector["distribution"] == distribution]


@pytest.mark.parametrize("vector", of("rademacher"), ids=named)
def test_rademacher_directions_are_the_frozen_ones_bit_for_bit(vector: dict[str, Any]) -> None:
    values = direction(vector["seed"], vector["parameters"])
    signs = "".join("-" if value < 0 else "+" for value in values)
    assert signs.startswith(vector["first_signs"])
    assert hashlib.sha256(values.astype("<f4").tobytes()).hexdigest() == vector["sha256"]


@pytest.mark.parametrize("vector", of("gaussian"), ids=named)
def test_gaussian_directions_are_the_frozen_ones_within_rounding(vector: dict[str, Any]) -> None:
    values = direction(vector["seed"], vector["parameters"], "gaussian")
    assert values == pytest.approx(np.array(vector["values"]), abs=1e-6)


def test_a_shorter_direction_is_the_beginning_of_a_longer_one() -> None:
    for distribution in ("rademacher", "gaussian"):
        long = direction(7, 301, distribution)  # type: ignore[arg-type]
        short = direction(7, 130, distribution)  # type: ignore[arg-type]
        assert np.array_equal(long[:130], short)
