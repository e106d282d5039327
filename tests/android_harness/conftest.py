"""Fixtures of the device tests: private keys, a fake phone, a bundle, scripts that stand in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from android_harness.fake_phone import FakePhone
from android_harness.records import Record
from android_harness.target import Target
from android_harness.targets.open_target import open_target
from exporters.durable_files import sha256_of
from exporters.lora.layout import LoraLayout
from exporters.manifest import MANIFEST_NAME, Architecture, Bundle, BundleFile, Manifest
from tests.android_harness.waiting import PATIENT


@pytest.fixture(scope="session")
def home_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all tests, since making a key takes a while."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def private_home(home_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the user's keys and cache out of the tests, and the tests out of them."""
    monkeypatch.setenv("HOME", str(home_folder))
    monkeypatch.setenv("FWDLLM_CACHE", str(home_folder / "cache"))
    # An adb server of this machine, with devices of its own, is not asked.
    monkeypatch.setenv("ADB_SERVER_SOCKET", "localfilesystem:/nonexistent/adb")
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)


@pytest.fixture
def phone(private_home: None) -> Iterator[FakePhone]:
    with FakePhone() as phone:
        yield phone


@pytest.fixture(params=["local", "adb"])
def target(request: pytest.FixtureRequest, private_home: None) -> Iterator[Target]:
    """The same tests hold for this machine and for a phone."""
    if request.param == "local":
        with open_target("local") as target:
            yield target
        return
    phone = request.getfixturevalue("phone")
    with open_target(phone.target, timeouts=PATIENT) as target:
        yield target


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A bundle whose artifacts are no models: enough for whoever only moves them."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    files = []
    for role, content in (("base", b"base weights"), ("adapter", b"adapter weights")):
        path = folder / f"{role}.gguf"
        path.write_bytes(content)
        files.append(
            BundleFile(
                name=path.name,
                role="base" if role == "base" else "adapter",
                bytes=len(content),
                sha256=sha256_of(path),
            )
        )
    Manifest(
        source="made by hand",
        format="gguf",
        quantization="f32",
        architecture=Architecture(
            family="llama",
            layers=1,
            hidden_size=4,
            feed_forward_size=8,
            heads=1,
            key_value_heads=1,
            head_size=4,
            vocabulary_size=16,
            context_length=8,
            rope_theta=10000.0,
            rope_scaling=None,
            rms_norm_epsilon=1e-5,
            tied_embeddings=True,
            attention_bias=False,
        ),
        tensor_types=(),
        lora=LoraLayout.from_shapes(
            {(0, "q_proj", "A"): (2, 4), (0, "q_proj", "B"): (4, 2)}, rank=2, alpha=4
        ),
        files=tuple(files),
        tokenizer_kind="bpe",
        parity=None,
        versions={},
        created="2026-01-01T00:00:00Z",
    ).write(folder / MANIFEST_NAME)
    return Bundle(folder)


@pytest.fixture
def stand_in(tmp_path: Path) -> Callable[..., Path]:
    """Makes a runner that prints given records, then goes on with given shell lines."""

    def make(records: Sequence[Record], then: str = "exit 0") -> Path:
        lines = "".join(record.model_dump_json() + "\n" for record in records)
        path = tmp_path / "fwdllm-runner"
        path.write_text(f"#!/bin/sh\ncat <<'RECORDS'\n{lines}RECORDS\n{then}\n")
        path.chmod(0o755)
        return path

    return make


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    path = tmp_path / "examples.jsonl"
    path.write_text('{"tokens": [1, 2], "targets": [2, 3]}\n')
    return path
