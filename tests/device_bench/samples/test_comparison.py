"""What two folders of samples show of each other, and how often they show what is not there."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.state.held_settings import HeldSetting, HeldSettings
from device_bench.errors import ComparisonError
from device_bench.samples.comparison import (
    MINIMUM_JOBS,
    SamplesComparison,
    compare_samples,
    holm,
    ratio_interval,
)
from exporters.errors import ContractError
from tests.device_bench.made_samples import NOW, arm, write_samples

COMPARISONS = 500
# Three standard errors of the number of false positives among so many, above the 5 % of the test.
MOST_FALSE = COMPARISONS * 0.05 + 3 * np.sqrt(COMPARISONS * 0.05 * 0.95)


def drawn(
    generator: np.random.Generator,
    median: float,
    *,
    jobs: int = MINIMUM_JOBS,
    between: float = 0.0,
    within: float = 0.05,
) -> list[list[float]]:
    """Seconds of three repetitions a job, log-normal between jobs and within them."""
    of_jobs = between * generator.standard_normal((jobs, 1))
    noise = within * generator.standard_normal((jobs, 3))
    return (median * np.exp(of_jobs + noise)).tolist()


def compared(
    folder: Path, seed: int, slower: float, arms: int = 4, **noise: float
) -> SamplesComparison:
    generator = np.random.default_rng(seed)
    a = {arm(t): drawn(generator, 1e-3 * t, **noise) for t in range(1, arms + 1)}
    b = {arm(t): drawn(generator, 1e-3 * t * slower, **noise) for t in range(1, arms + 1)}
    return compare_samples(write_samples(folder / "a", a), write_samples(folder / "b", b))


@pytest.mark.parametrize("between", [0.0, 0.05, 0.2])
def test_equal_devices_rarely_seem_to_differ(tmp_path: Path, between: float) -> None:
    """However much jobs differ from each other: 500 comparisons of two equal sides."""
    found = compared(tmp_path, 1, slower=1.0, arms=COMPARISONS, between=between)

    alone = sum(each.p_value is not None and each.p_value < 0.05 for each in found.arms)
    assert len(found.arms) == COMPARISONS and alone <= MOST_FALSE
    # And of a whole table of arms, hardly one.
    assert sum(each.verdict != "no difference shown" for each in found.arms) <= 1


@pytest.mark.parametrize(("slower", "verdict"), [(1.2, "A faster"), (1 / 1.2, "B faster")])
def test_a_difference_is_shown_in_its_direction(
    tmp_path: Path, slower: float, verdict: str
) -> None:
    found = compared(tmp_path, 2, slower=slower)

    assert {each.verdict for each in found.arms} == {verdict}
    for each in found.arms:
        assert each.ratio == pytest.approx(slower, rel=0.1)
        assert each.low is not None and each.high is not None
        assert each.low <= each.ratio <= each.high
        assert each.p_adjusted is not None and each.p_adjusted < 0.05


def test_slower_is_what_is_shown_and_beyond_the_limit(tmp_path: Path) -> None:
    slower = compared(tmp_path / "slower", 3, slower=1.2)
    assert all(each.slower_than(10) and not each.slower_than(40) for each in slower.arms)

    faster = compared(tmp_path / "faster", 3, slower=0.8)
    assert not any(each.slower_than(0) for each in faster.arms)


def test_too_few_jobs_give_no_verdict(tmp_path: Path) -> None:
    found = compared(tmp_path, 4, slower=10, jobs=MINIMUM_JOBS - 1)

    assert not found.judged
    for each in found.arms:
        assert (each.verdict, each.p_value, each.p_adjusted) == ("too few jobs", None, None)
        assert (each.low, each.high) == (None, None)
        assert not each.slower_than(0)


def test_an_outlier_is_shown_and_counts(tmp_path: Path) -> None:
    jobs = [[1.0 + 0.01 * number] for number in range(8)]
    a = write_samples(tmp_path / "a", {arm(1): [*jobs, [50.0]]})
    b = write_samples(tmp_path / "b", {arm(1): [*jobs, [1.08]]})

    (found,) = compare_samples(a, b).arms

    assert found.a.outliers_s == (50.0,) and found.b.outliers_s == ()
    assert found.a.jobs == found.b.jobs == 9
    assert found.a.median_s == pytest.approx(1.04)


def test_the_interval_holds_the_true_ratio_as_often_as_it_says() -> None:
    generator = np.random.default_rng(5)
    trials = 300
    covered = 0
    for _ in range(trials):
        a, b = (np.exp(0.1 * generator.standard_normal(MINIMUM_JOBS)) for _ in range(2))
        low, high = ratio_interval(a, 2 * b)
        covered += low <= 2 <= high

    # 95 % of the trials less three standard errors; it is wider than it need be.
    assert covered / trials > 0.95 - 3 * np.sqrt(0.95 * 0.05 / trials)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holms_correction_keeps_the_order_and_never_helps(values: list[float]) -> None:
    adjusted = holm(values)

    assert all(before <= after <= 1 for before, after in zip(values, adjusted, strict=True))
    assert adjusted[values.index(min(values))] == pytest.approx(min(1, len(values) * min(values)))
    by_value = [after for _, after in sorted(zip(values, adjusted, strict=True))]
    assert by_value == sorted(by_value)


def test_holms_correction_of_known_values() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_what_else_differs_is_said(tmp_path: Path) -> None:
    jobs = {arm(1): [[1.0]]}
    a = write_samples(tmp_path / "a", jobs)
    other = {arm(1, threads=2): [[1.0]]}
    b = write_samples(tmp_path / "b", other, target="adb:OTHER", bundle_sha256="c" * 64)

    warnings = compare_samples(a, b).warnings

    assert "the targets differ: adb:FAKE and adb:OTHER" in warnings
    assert "the threads differ: 4 and 2" in warnings
    assert any(warning.startswith("the bundles differ") for warning in warnings)
    assert compare_samples(a, a).warnings == ()


def test_of_several_placements_only_equal_ones_are_compared(tmp_path: Path) -> None:
    both = {arm(1, threads=1): [[1.0]], arm(1, threads=2): [[2.0]]}
    a = write_samples(tmp_path / "a", both)
    b = write_samples(tmp_path / "b", {arm(1, threads=2): [[4.0]]})

    compared = compare_samples(a, b)

    (common,) = compared.arms
    assert (common.arm.threads, common.ratio) == (2, 2.0)
    assert compared.only_in_a == (arm(1, threads=1),)
    assert not any("threads" in warning for warning in compared.warnings)


def test_settings_that_differ_are_said(tmp_path: Path) -> None:
    folders = [write_samples(tmp_path / name, {arm(1): [[1.0]]}) for name in "ab"]

    def hold(folder: Path, value: str) -> None:
        row = HeldSetting(
            setting="stay_awake", before=None, wanted=None, during=value, status="as found"
        )
        HeldSettings(serial="s", target="adb:FAKE", settings=(row,)).write(folder / "settings.json")

    hold(folders[0], "0")
    assert compare_samples(*folders).warnings == (
        "only A says how the device was set (settings.json)",
    )
    hold(folders[1], "7")
    assert compare_samples(*folders).warnings == ("the setting stay_awake differs: 0 and 7",)


def test_arms_of_one_side_alone_are_named(tmp_path: Path) -> None:
    a = write_samples(tmp_path / "a", {arm(1): [[1.0]], arm(2): [[1.0]]})
    b = write_samples(tmp_path / "b", {arm(1): [[1.0]], arm(3): [[1.0]]})

    found = compare_samples(a, b)

    assert [each.arm for each in found.arms] == [arm(1)]
    assert (found.only_in_a, found.only_in_b) == ((arm(2),), (arm(3),))


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    a = write_samples(tmp_path / "a", {arm(1): [[1.0]]})
    b = write_samples(tmp_path / "b", {arm(2): [[1.0]]})
    with pytest.raises(ComparisonError, match="no measured arm in common"):
        compare_samples(a, b)
    with pytest.raises(ComparisonError, match="no folder"):
        compare_samples(a, a / "sweep.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ContractError, match="sweep description"):
        compare_samples(a, tmp_path / "empty")


@pytest.mark.parametrize(("begin", "interleaved"), [(0, True), (4, True), (60, False)])
def test_jobs_that_took_turns_are_told_from_those_that_did_not(
    tmp_path: Path, begin: int, interleaved: bool
) -> None:
    folders = [write_samples(tmp_path / name, {arm(8): [[1.0]] * 9}) for name in "ab"]
    for folder, first_minute in zip(folders, (0, begin), strict=True):
        path = folder / "samples.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for number, line in enumerate(lines):
            told = NOW + timedelta(minutes=first_minute + number)
            line["measured_at"] = told.isoformat()
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    assert compare_samples(*folders).interleaved is interleaved
