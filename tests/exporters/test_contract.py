"""Contracts refuse what they do not know, and say what is wrong with a file."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from exporters.contract import Contract
from exporters.errors import ContractError


class Recipe(Contract):
    word: ClassVar[str] = "recipe"

    title: str
    minutes: int


def test_a_written_contract_reads_back(tmp_path: Path) -> None:
    recipe = Recipe(title="Soup", minutes=30)
    recipe.write(tmp_path / "recipe.json")
    assert Recipe.read(tmp_path / "recipe.json") == recipe


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"title": "Soup"}', "minutes"),
        (b'{"title": "Soup", "minutes": "soon"}', "minutes"),
        (b'{"title": "Soup", "minutes": 3, "salt": true}', "salt"),
        (b'{"title": "Soup", "minu', "JSON"),
        (b"", "JSON"),
        (b"[1, 2]", "recipe"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b'{"schema_version": 2, "title": "Soup", "minutes": 3}', "version 2"),
    ],
)
def test_a_malformed_file_is_refused_with_its_reason(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "recipe.json"
    path.write_bytes(content)
    with pytest.raises(ContractError, match=reason) as refusal:
        Recipe.read(path)
    assert refusal.value.file == path


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="cannot read the recipe"):
        Recipe.read(tmp_path / "absent.json")
