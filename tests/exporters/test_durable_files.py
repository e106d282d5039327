"""Files and folders appear whole or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.durable_files import (
    folder_replaced_atomically,
    replaced_atomically,
    sha256_of,
    write_atomically,
)


@settings(max_examples=20)
@given(content=st.binary(max_size=4096))
def test_content_and_hash_survive(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("files") / "deeper" / "file"
    write_atomically(path, content)
    assert path.read_bytes() == content
    assert sha256_of(path) == hashlib.sha256(content).hexdigest()


def test_a_failed_write_keeps_the_old_file_and_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    with pytest.raises(KeyboardInterrupt), replaced_atomically(path) as temporary:
        temporary.write_text("half of the n")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    for content in ("old", "new"):
        with folder_replaced_atomically(path) as temporary:
            (temporary / content).write_text(content)
            assert not (path / content).exists()
    assert [file.name for file in path.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_folder_keeps_the_old_one_and_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    with folder_replaced_atomically(path) as temporary:
        (temporary / "old").touch()
    with pytest.raises(KeyboardInterrupt), folder_replaced_atomically(path) as temporary:
        (temporary / "half").touch()
        raise KeyboardInterrupt
    assert [file.name for file in path.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [path]
