"""A running SuperLink."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import Processes, wait_until

from toolkit.federation.link_folder import LinkFolder, create_link_folder


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    try:
        yield processes
    finally:
        processes.end()


@pytest.fixture
def link(tmp_path: Path, processes: Processes) -> LinkFolder:
    """A running SuperLink that knows the hosts a, b and c."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    create_link_folder(
        tmp_path / "link", address=address, listen="127.0.0.1", hosts=["a", "b", "c"]
    )
    folder = LinkFolder(tmp_path / "link")
    process = processes.start("link", "link_process.py", folder.path)
    wait_until(lambda: folder.running_file.exists() or process.poll() is not None)
    assert process.poll() is None, processes.log("link")
    return folder
