"""Of several threads and cores, the profile is of the fastest."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_bench.errors import SamplesError
from device_bench.fitting.fit_profile import fit_profile
from device_bench.plans.sweep_plan import arms_of
from device_bench.profiles.join_profiles import join_profiles
from device_bench.profiles.profile import Profile
from tests.device_bench.made_samples import NOW, write_samples

ONE, TWO, FOUR = ((1, None), (2, "0xf0"), (4, None))
WORK = ([1], [16, 64], [1], ["central"], [None])


def profile_of(folder: Path, seconds: dict[tuple[int, str | None], list[float]]) -> Profile:
    """Of arms of 16 and 64 tokens with these seconds on each placement; fewer: not measured."""
    jobs = {
        arm: [[value] * 3]
        for placement, values in seconds.items()
        for arm, value in zip(arms_of(*WORK, [placement]), values, strict=False)
    }
    return fit_profile(write_samples(folder, jobs), now=NOW)


def test_the_fastest_in_the_geometric_mean_is_chosen(tmp_path: Path) -> None:
    """Four threads are slower in sum, but twice as fast in one arm for 1.5 times in the other."""
    profile = profile_of(tmp_path / "s", {ONE: [1.0, 8.0], TWO: [2.0, 16.0], FOUR: [0.5, 12.0]})

    (backend,) = profile.backends
    assert [(each.threads, each.cpu_mask, each.chosen) for each in backend.placements] == [
        (*FOUR, True),
        (*ONE, False),
        (*TWO, False),
    ]
    relative = [each.relative_seconds for each in backend.placements]
    assert relative == pytest.approx([1, 1 / 0.75**0.5, 2 / 0.75**0.5])
    assert {each.arms for each in backend.placements} == {2}
    assert {arm.threads for arm in backend.arms} == {4}
    assert [arm.seconds_per_probe.value for arm in backend.arms] == [0.5, 12.0]


def test_arms_that_a_placement_lacks_do_not_count(tmp_path: Path) -> None:
    (backend,) = profile_of(tmp_path / "s", {ONE: [1.0, 1.0], FOUR: [2.0]}).backends

    assert [each.arms for each in backend.placements] == [1, 1]
    assert backend.placements[0].threads == 1 and backend.placements[1].relative_seconds == 2
    assert "incomplete-sweep" not in backend.reasons


def test_one_placement_is_the_fastest_of_itself(tmp_path: Path) -> None:
    (backend,) = profile_of(tmp_path / "s", {TWO: [1.0, 2.0]}).backends
    (placement,) = backend.placements
    assert (placement.relative_seconds, placement.cpu_mask) == (1.0, "0xf0")


def test_backends_of_a_bundle_are_one_profile(tmp_path: Path) -> None:
    one = profile_of(tmp_path / "a", {ONE: [1.0, 2.0]})
    other = _named(one, "ggml-vulkan")

    joined = join_profiles([one, other])

    assert joined.backends == (*one.backends, *other.backends)
    assert join_profiles([one]) == one


@pytest.mark.parametrize("field", ["target", "bundle_sha256", "runner_sha256"])
def test_what_is_not_of_one_device_bundle_and_runner_is_not_joined(
    tmp_path: Path, field: str
) -> None:
    one = profile_of(tmp_path / "a", {ONE: [1.0, 2.0]})
    other = _named(one, "ggml-vulkan").model_copy(update={field: "another"})

    with pytest.raises(SamplesError, match=field.partition("_")[0].replace("target", "device")):
        join_profiles([one, other])


def test_a_backend_is_not_joined_with_itself(tmp_path: Path) -> None:
    one = profile_of(tmp_path / "a", {ONE: [1.0, 2.0]})
    with pytest.raises(SamplesError, match="the same backend: ggml-cpu, ggml-cpu"):
        join_profiles([one, one])


def _named(profile: Profile, backend: str) -> Profile:
    backends = tuple(each.model_copy(update={"backend": backend}) for each in profile.backends)
    return profile.model_copy(update={"backends": backends})
