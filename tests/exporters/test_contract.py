"""Contracts refuse what they do not know, and say what is wrong with a file."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.contract import Contract, Migration
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
        (b'{"title": "Soup"}', "its field minutes is missing"),
        (b'{"title": "Soup", "minutes": "soon"}', "minutes"),
        (
            b'{"title": "Soup", "minutes": 3, "salt": true}',
            "it has a field salt, which is not known",
        ),
        (b'{"title": "Soup", "minu', "JSON"),
        (b"", "JSON"),
        (b"[1, 2]", "recipe"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b'{"schema_version": 2, "title": "Soup", "minutes": 3}', "version 2, .* reads version 1"),
        (b'{"schema_version": 2, "title": "Soup", "hours": 3}', "version 2, .* reads version 1"),
        (b'{"schema_version": "1", "title": "Soup", "minutes": 3}', "schema_version"),
        (b"[" * 100_000, "recipe"),
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


class NewRecipe(Contract):
    """Version 2 measured in minutes, version 3 knows how many it serves."""

    word: ClassVar[str] = "recipe"
    supported_version: ClassVar[int] = 3
    migrations: ClassVar[Mapping[int, Migration]] = {
        1: lambda old: {"title": old["title"], "minutes": 60 * old["hours"]},
        2: lambda old: {**old, "serves": None},
    }

    schema_version: int = 3
    title: str
    minutes: int
    serves: int | None


@pytest.mark.parametrize(
    "content",
    [
        '{"schema_version": 1, "title": "Soup", "hours": 2}',
        '{"schema_version": 2, "title": "Soup", "minutes": 120}',
        '{"schema_version": 3, "title": "Soup", "minutes": 120, "serves": null}',
    ],
)
def test_older_versions_are_migrated_step_by_step(tmp_path: Path, content: str) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(content)
    assert NewRecipe.read(path) == NewRecipe(title="Soup", minutes=120, serves=None)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"schema_version": 4, "flavour": 1}', "version 4, this fwdllm reads versions 1 to 3"),
        ('{"schema_version": 0}', "version 0, this fwdllm reads versions 1 to 3"),
        ('{"schema_version": 2, "title": "Soup"}', "its field minutes is missing"),
        ('{"schema_version": 2, "minutes": 1, "salt": 1}', "title is missing.*field salt"),
        ('{"schema_version": 3, "title": "Soup", "minutes": 1}', "its field serves is missing"),
    ],
)
def test_what_cannot_be_migrated_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(content)
    with pytest.raises(ContractError, match=reason) as refusal:
        NewRecipe.read(path)
    newer = "4" in content
    assert ("a newer one" in refusal.value.remedy) == newer


@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_crash(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.json"
        path.write_bytes(content)
        with pytest.raises(ContractError):
            NewRecipe.read(path)
