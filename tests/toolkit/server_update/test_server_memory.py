"""A checkpoint carries the server's memory to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.errors import TrainingError
from toolkit.server_update.memory import ServerMemory

MEMORY = ServerMemory(
    {
        "yogi:first": np.array([1.5, -0.0, np.inf], dtype=np.float32),
        "gradient": np.array([[0.1]], dtype=np.float64),
    },
    {"head:steps": 3.0, "third": 1 / 3},
)


def test_what_is_saved_is_loaded(tmp_path):
    path = tmp_path / "memory.npz"
    MEMORY.save(path)
    loaded = ServerMemory.load(path)
    assert loaded.scalars == MEMORY.scalars
    assert loaded.arrays.keys() == MEMORY.arrays.keys()
    for name, array in MEMORY.arrays.items():
        assert loaded.arrays[name].dtype == array.dtype
        assert loaded.arrays[name].tobytes() == array.tobytes()


def test_an_empty_memory_is_saved_too(tmp_path):
    ServerMemory().save(tmp_path / "memory.npz")
    assert ServerMemory.load(tmp_path / "memory.npz") == ServerMemory()


def test_what_is_added_replaces_what_was_there():
    changed = MEMORY.with_scalars(third=2.0).with_arrays(new=np.ones(1, dtype=np.float32))
    assert changed.scalars == {"head:steps": 3.0, "third": 2.0}
    assert set(changed.arrays) == {"yogi:first", "gradient", "new"}
    assert MEMORY.scalars["third"] == 1 / 3


@pytest.mark.parametrize("share", [0, 0.3, 0.6, 0.95])
def test_a_torn_file_is_an_error_with_a_remedy(tmp_path, share):
    path = tmp_path / "memory.npz"
    MEMORY.save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(TrainingError, match="earlier checkpoint"):
        ServerMemory.load(path)


@pytest.mark.parametrize("content", [b"hello", b"\x93NUMPY\x01\x00v\x00"])
def test_another_file_is_an_error(tmp_path, content):
    path = tmp_path / "memory.npz"
    path.write_bytes(content)
    with pytest.raises(TrainingError):
        ServerMemory.load(path)
    with pytest.raises(TrainingError):
        ServerMemory.load(tmp_path / "missing.npz")


def test_a_flipped_byte_is_noticed(tmp_path):
    path = tmp_path / "memory.npz"
    MEMORY.save(path)
    content = bytearray(path.read_bytes())
    place = content.index(np.float32(1.5).tobytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(TrainingError):
        ServerMemory.load(path)
