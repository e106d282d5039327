"""Profiles from what llama-bench printed."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_bench.costs.setting import Setting
from device_bench.profiles.profile import Profile
from toolkit.exchange.errors import ExchangeError
from toolkit.exchange.llama_bench import profile_of_results, read_results

FIXED, PER_TOKEN, PER_PAIR = 2e-3, 5e-3, 1e-6


def test(prompt: int, **changes: Any) -> dict[str, Any]:
    """One test with the fields that llama-bench prints, of a phone of known cost."""
    seconds = FIXED + PER_TOKEN * prompt + PER_PAIR * prompt**2
    return {
        "build_commit": "8cf427ff",
        "build_number": 5163,
        "cpu_info": "Snapdragon 8 Gen 3",
        "gpu_info": "",
        "backends": "CPU",
        "model_filename": "tinyllama.gguf",
        "model_type": "llama 1B Q8_0",
        "model_size": 1_169_000_000,
        "model_n_params": 1_100_048_384,
        "n_batch": 2048,
        "n_ubatch": 512,
        "n_threads": 4,
        "cpu_mask": "0x0",
        "n_gpu_layers": 0,
        "n_prompt": prompt,
        "n_gen": 0,
        "n_depth": 0,
        "test_time": "2026-01-01T10:00:00Z",
        "avg_ns": seconds * 1e9,
        "stddev_ns": 0,
        "samples_ns": [round(seconds * factor * 1e9) for factor in (0.99, 1.0, 1.0, 1.01, 1.0)],
        **changes,
    }


test.__test__ = False  # type: ignore[attr-defined]


def imported(tests: list[dict[str, Any]], folder: Path, **arguments: Any) -> Profile:
    path = folder / "bench.json"
    path.write_text(json.dumps(tests))
    return profile_of_results(
        read_results(path), **{"target": "lab", "lifetime": timedelta(days=7), **arguments}
    )


@pytest.mark.parametrize("lengths", [[64], [64, 512], [32, 128, 256, 512]])
def test_a_pass_costs_what_a_prompt_of_its_tokens_took(tmp_path: Path, lengths: list[int]) -> None:
    (backend,) = imported([test(length) for length in lengths], tmp_path).backends

    assert backend.cost is not None
    for length in lengths:
        expected = FIXED + PER_TOKEN * length + PER_PAIR * length**2
        seconds = backend.pass_seconds(batch=1, tokens=length)
        assert seconds == pytest.approx(expected, rel=0.01)
        probe = backend.modelled_seconds(Setting(1, length, "central", 1))
        assert probe == pytest.approx(2 * expected, rel=0.01)
    if len(lengths) == 1:
        assert (backend.cost.s_per_weight_byte, backend.cost.s_per_attention_flop) == (0, 0)


def test_what_was_imported_is_never_valid(tmp_path: Path) -> None:
    profile = imported([test(64), test(512)], tmp_path)

    (backend,) = profile.backends
    assert (backend.verdict, backend.reasons) == ("suspect", ("imported",))
    assert {arm.provenance for arm in backend.arms} == {"modelled"} == {backend.cost_provenance}
    assert backend.tangent_cost is None
    assert profile.derivation is not None
    assert profile.derivation.measured_on == "Snapdragon 8 Gen 3"
    assert profile.measured_at == datetime(2026, 1, 1, 10, tzinfo=UTC)
    assert profile.expires_at - profile.measured_at == timedelta(days=7)


def test_samples_become_arms(tmp_path: Path) -> None:
    profile = imported([test(64), test(512)], tmp_path, bundle_sha256="c" * 64)

    (backend,) = profile.backends
    assert [(arm.tokens, arm.estimator, arm.repetitions) for arm in backend.arms] == [
        (64, "forward", 5),
        (512, "forward", 5),
    ]
    assert profile.bundle_sha256 == "c" * 64
    assert backend.peak_memory_bytes == 1_169_000_000


def test_the_fastest_threads_are_taken_unless_asked_otherwise(tmp_path: Path) -> None:
    slow = [2 * round(1e9 * (FIXED + PER_TOKEN * 64))] * 3
    tests = [test(64), test(64, n_threads=8, samples_ns=slow)]

    assert imported(tests, tmp_path).backends[0].arms[0].threads == 4
    assert imported(tests, tmp_path, threads=8).backends[0].arms[0].threads == 8
    with pytest.raises(ExchangeError, match="no test is of 3 threads") as refusal:
        imported(tests, tmp_path, threads=3)
    assert "4, 8" in refusal.value.remedy


@pytest.mark.parametrize(
    ("changes", "backend"),
    [
        ({}, "ggml-cpu"),
        ({"backends": "OpenCL", "n_gpu_layers": 99}, "ggml-opencl"),
        ({"backends": "OpenCL", "n_gpu_layers": 0}, "ggml-cpu"),
        ({"backends": "Vulkan,BLAS", "n_gpu_layers": 99}, "ggml-vulkan"),
        ({"backends": "BLAS", "n_gpu_layers": 99}, "ggml-cpu"),
    ],
)
def test_what_computed_is_the_backend(
    tmp_path: Path, changes: dict[str, Any], backend: str
) -> None:
    assert imported([test(64, **changes)], tmp_path).backends[0].backend == backend


def test_generation_and_filled_contexts_do_not_count(tmp_path: Path) -> None:
    others = [test(0, n_gen=128), test(64, n_depth=512), test(512, n_gen=64)]
    profile = imported([test(64), *others], tmp_path)
    assert [arm.tokens for arm in profile.backends[0].arms] == [64]
    with pytest.raises(ExchangeError, match="no test is of a prompt alone"):
        imported(others, tmp_path)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"model_type": "llama 7B Q4_0"}, "models"),
        ({"cpu_info": "Dimensity"}, "devices"),
        ({"backends": "Vulkan", "n_gpu_layers": 9}, "backends"),
    ],
)
def test_several_models_or_devices_are_refused(
    tmp_path: Path, changes: dict[str, Any], word: str
) -> None:
    with pytest.raises(ExchangeError, match=f"several {word}"):
        imported([test(64), test(512, **changes)], tmp_path)


def test_json_lines_are_the_same(tmp_path: Path) -> None:
    tests = [test(64), test(512)]
    lines = tmp_path / "bench.jsonl"
    lines.write_text("".join(json.dumps(each) + "\n" for each in tests))
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(tests))
    assert read_results(lines) == read_results(path)


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    incomplete = test(64)
    del incomplete["samples_ns"]
    with pytest.raises(ExchangeError, match="samples_ns"):
        imported([incomplete], tmp_path)


@given(st.binary(max_size=300) | st.text(alphabet='[]{}",:0123456789 \n').map(str.encode))
def test_arbitrary_bytes_never_crash(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.json"
        path.write_bytes(content)
        try:
            results = read_results(path)
        except ExchangeError:
            return
        assert results == []
