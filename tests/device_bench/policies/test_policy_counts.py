"""False positives and negatives on made-up sweeps, by `bench/policies.py`, of a few seeds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "bench" / "policies.py"


@pytest.fixture(scope="module")
def kinds() -> dict[str, dict]:
    run = subprocess.run(
        [sys.executable, str(SCRIPT), "--seeds", "12", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {each["kind"]: each for each in json.loads(run.stdout)["kinds"]}


@pytest.mark.parametrize(
    "kind", ["clean", "clean, no sensors", "noisy", "noisy, no sensors", "spikes"]
)
def test_what_nothing_slowed_down_is_not_called_throttled_or_shared(
    kinds: dict[str, dict], kind: str
) -> None:
    jobs, rows = kinds[kind]["jobs"], kinds[kind]["rows"]

    assert jobs["calm"] == 12 * 24 and jobs["false"] <= 3
    assert rows["sound"] == 12 * 4 and rows["false"] <= 1


def test_noise_is_seen_as_what_it_is(kinds: dict[str, dict]) -> None:
    assert kinds["noisy"]["rows"]["wide"] >= 45
    assert kinds["clean"]["rows"]["wide"] == kinds["spikes"]["rows"]["wide"] == 0


@pytest.mark.parametrize(
    ("kind", "most_missed"),
    [
        ("throttling in a step", 0.02),
        ("throttling in a ramp", 0.02),
        ("interference in bursts", 0.02),
        ("within jobs, no sensors", 0.02),
        ("step, no sensors", 0.1),
        ("ramp, no sensors", 0.4),
    ],
)
def test_what_was_slowed_down_is_caught(
    kinds: dict[str, dict], kind: str, most_missed: float
) -> None:
    jobs, rows = kinds[kind]["jobs"], kinds[kind]["rows"]

    assert jobs["disturbed"] > 50 and jobs["missed"] <= most_missed * jobs["disturbed"]
    assert jobs["false"] <= 0.05 * jobs["calm"]
    assert rows["faulty"] > 5 and rows["false"] == 0
    if most_missed < 0.05:
        assert rows["missed"] == 0
