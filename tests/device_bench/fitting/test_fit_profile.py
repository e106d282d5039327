"""From a sweep on a device of known cost to its profile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from android_harness.errors import IncompleteRunError
from device_bench.costs.setting import Setting
from device_bench.errors import SamplesError
from device_bench.fitting.fit_profile import fit_profile
from device_bench.numerics.contract import NumericEvidence
from device_bench.plans.sweep_plan import arms_of
from device_bench.profiles.profile import BackendProfile, Profile
from device_bench.sweeps.sweep import run_sweep
from exporters.errors import ContractError
from tests.device_bench.fake_timing_runner import (
    LOAD_NS,
    PARITY,
    RELATIVE_ERRORS,
    SLOWER,
    FakeInstalledRunner,
    known_peak_bytes,
    known_seconds,
)

ARMS = arms_of([1, 4], [16, 128], [1, 8], ["central", "forward"])
TWO_THREADS = arms_of([1, 4], [16, 128], [1, 8], ["central"], placements=[(2, None)])
MASKED = arms_of([1, 4], [16, 128], [1, 8], ["central"], placements=[(1, "0x3")])
TANGENTS = arms_of([1, 4], [16, 128], [1, 8], ["tangent"])
TOP_LAYERS = arms_of([1, 4], [16, 128], [1, 8], ["central", "tangent"], [(4, 5)])


def profile_of(folder: Path, runner: FakeInstalledRunner, **settings: object) -> Profile:
    run_sweep(runner, **{"arms": ARMS, "out_folder": folder, **settings})
    return fit_profile(folder, now=datetime.now(UTC))


def only_backend(profile: Profile) -> BackendProfile:
    (backend,) = profile.backends
    return backend


def test_the_known_cost_is_recovered_within_the_noise(tmp_path: Path) -> None:
    backend = only_backend(profile_of(tmp_path, FakeInstalledRunner(noise=0.02)))

    assert backend.backend == "ggml-cpu"
    assert (backend.verdict, backend.reasons) == ("valid", ())
    for batch, tokens in ((2, 64), (4, 96)):
        for estimator in ("central", "forward"):
            setting = Setting(batch, tokens, estimator, 4)
            assert backend.modelled_seconds(setting) == pytest.approx(
                known_seconds(setting), rel=0.05
            )


def test_tangents_have_a_cost_model_of_their_own(tmp_path: Path) -> None:
    runner = FakeInstalledRunner(noise=0.02)
    backend = only_backend(profile_of(tmp_path, runner, arms=ARMS + TANGENTS))

    assert (backend.verdict, backend.reasons) == ("valid", ())
    for estimator in ("tangent", "central"):
        setting = Setting(2, 64, estimator, 4)
        assert backend.modelled_seconds(setting) == pytest.approx(known_seconds(setting), rel=0.05)


def test_arms_of_some_layers_tell_what_other_ranges_cost(tmp_path: Path) -> None:
    """Without them nothing tells a pass from the weights that it reads."""
    alone = only_backend(profile_of(tmp_path / "a", FakeInstalledRunner()))
    runner = FakeInstalledRunner()
    both = only_backend(profile_of(tmp_path / "b", runner, arms=ARMS + TOP_LAYERS + TANGENTS))

    assert alone.cost is not None and both.cost is not None
    assert alone.cost.undetermined == ("fixed_s", "s_per_weight_byte")
    assert both.cost.undetermined == ()
    assert (both.verdict, both.reasons) == ("valid", ())
    for estimator in ("central", "tangent"):
        for layers in ((3, 3), (2, 4), None):
            setting = Setting(2, 64, estimator, 4, layers)
            assert both.modelled_seconds(setting) == pytest.approx(known_seconds(setting), rel=0.01)


def test_peak_memory_is_predicted_and_never_below_an_arm(tmp_path: Path) -> None:
    runner = FakeInstalledRunner()
    backend = only_backend(profile_of(tmp_path, runner, arms=ARMS + TANGENTS + TOP_LAYERS))

    for arm in backend.arms:
        modelled = backend.modelled_bytes(arm.setting)
        assert modelled is not None and modelled >= arm.peak_memory_bytes * (1 - 1e-9)
    other = Setting(2, 64, "central", 4)
    assert backend.modelled_bytes(other) == pytest.approx(known_peak_bytes(other), rel=0.01)


@pytest.mark.parametrize(
    ("arms", "known"),
    [(TANGENTS, (False, True)), (ARMS, (True, False)), (TOP_LAYERS, (True, True))],
)
def test_what_no_arm_shows_has_no_cost_model(
    tmp_path: Path, arms: tuple, known: tuple[bool, bool]
) -> None:
    profile = profile_of(tmp_path / "samples", FakeInstalledRunner(), arms=arms)
    profile.write(tmp_path / "profile.json")
    backend = only_backend(Profile.read(tmp_path / "profile.json"))

    assert (backend.cost is not None, backend.tangent_cost is not None) == known
    assert backend.reasons == (() if any(known) else ("cost-terms-undetermined",))


def test_slope_errors_are_those_of_the_device(tmp_path: Path) -> None:
    runner = FakeInstalledRunner(parity=PARITY)
    profile = profile_of(tmp_path / "samples", runner, arms=ARMS + TANGENTS)
    profile.write(tmp_path / "profile.json")
    backend = only_backend(Profile.read(tmp_path / "profile.json"))

    assert {error.estimator: error.relative_error for error in backend.slope_errors} == (
        pytest.approx(RELATIVE_ERRORS)
    )
    steps = {error.estimator: error.epsilon for error in backend.slope_errors}
    evidence = NumericEvidence.read(tmp_path / "samples" / "numerics.json")
    assert steps == {estimator: evidence.epsilon_of(estimator) for estimator in steps}
    assert steps["tangent"] is None and steps["central"] is not None
    assert {error.directions for error in backend.slope_errors} == {3}
    # An error of a half: five of these slopes are worth four exact ones.
    forward = backend.slope_error("forward")
    assert forward is not None and forward.slopes_per_exact_one == pytest.approx(1.25)


def test_a_bundle_without_exact_slopes_gives_no_slope_errors(tmp_path: Path) -> None:
    assert only_backend(profile_of(tmp_path, FakeInstalledRunner())).slope_errors == ()


def test_damaged_evidence_of_the_gate_is_refused(tmp_path: Path) -> None:
    profile_of(tmp_path, FakeInstalledRunner(parity=PARITY))
    (tmp_path / "numerics.json").write_text("{}")

    with pytest.raises(ContractError, match="numeric evidence"):
        fit_profile(tmp_path, now=datetime.now(UTC))


def test_load_first_and_steady_are_kept_apart(tmp_path: Path) -> None:
    """Warm-up repetitions count nowhere."""
    backend = only_backend(profile_of(tmp_path, FakeInstalledRunner()))

    assert backend.load_seconds is not None
    assert backend.load_seconds.value == pytest.approx(LOAD_NS / 1e9)

    assert [(arm.batch, arm.tokens) for arm in backend.arms] == [
        (arm.batch, arm.tokens) for arm in ARMS
    ]
    for arm in backend.arms:
        assert (arm.jobs, arm.repetitions) == (6, 18)
        expected = known_seconds(arm.setting)
        assert arm.seconds_per_probe.value == pytest.approx(expected, rel=1e-6)
        assert arm.first_seconds is not None
        assert arm.first_seconds.value == pytest.approx(SLOWER["first"] * expected, rel=1e-6)


def test_jobs_that_never_settle_make_the_profile_suspect(tmp_path: Path) -> None:
    backend = only_backend(profile_of(tmp_path, FakeInstalledRunner(settled=False)))

    assert (backend.verdict, backend.reasons) == ("suspect", ("warm-up-not-settled",))


def test_peak_memory_is_each_arms_own(tmp_path: Path) -> None:
    backend = only_backend(profile_of(tmp_path, FakeInstalledRunner()))

    peaks = {(arm.batch, arm.tokens): arm.peak_memory_bytes for arm in backend.arms}
    assert peaks[1, 16] < peaks[4, 16] < peaks[4, 128]
    assert backend.peak_memory_bytes == peaks[4, 128]


def test_the_profile_round_trips_through_json(tmp_path: Path) -> None:
    profile = profile_of(tmp_path / "samples", FakeInstalledRunner(noise=0.02))

    profile.write(tmp_path / "profile.json")

    assert Profile.read(tmp_path / "profile.json") == profile


def test_a_profile_of_one_arm_round_trips_too(tmp_path: Path) -> None:
    profile = profile_of(tmp_path / "samples", FakeInstalledRunner(), arms=ARMS[:1])
    profile.write(tmp_path / "profile.json")

    assert Profile.read(tmp_path / "profile.json") == profile
    assert only_backend(profile).reasons == ("cost-terms-undetermined",)
    cost = only_backend(profile).cost
    assert cost is not None and cost.median_relative_error is None


def test_a_profile_expires_seven_days_after_its_samples(tmp_path: Path) -> None:
    profile = profile_of(tmp_path, FakeInstalledRunner())

    assert not profile.expired(profile.measured_at + timedelta(days=6))
    assert profile.expired(profile.measured_at + timedelta(days=8))


def test_fitting_late_does_not_make_samples_younger(tmp_path: Path) -> None:
    fresh = profile_of(tmp_path, FakeInstalledRunner())

    late = fit_profile(tmp_path, now=datetime.now(UTC) + timedelta(days=30))

    assert late.expires_at == fresh.expires_at
    assert only_backend(late).reasons == ("samples-older-than-7-days",)


@pytest.mark.parametrize(
    ("runner", "settings", "reason", "verdict"),
    [
        ({}, {"blocks": 1}, "too-few-jobs", "suspect"),
        ({"noise": 0.2}, {}, "spread-above-10-percent", "suspect"),
        ({"noise": 2.0}, {}, "spread-above-50-percent", "invalid"),
        ({"noise": 2.0}, {}, "cost-model-error-above-50-percent", "invalid"),
        ({}, {"arms": ARMS[:3]}, "cost-terms-undetermined", "suspect"),
        ({"cpu_count": 1}, {"arms": TWO_THREADS}, "more-threads-than-cores", "suspect"),
        ({"seen_mask": "0x1"}, {"arms": MASKED}, "cpu-mask-not-applied", "suspect"),
    ],
)
def test_a_faulty_measurement_is_not_valid(
    tmp_path: Path, runner: dict, settings: dict, reason: str, verdict: str
) -> None:
    backend = only_backend(profile_of(tmp_path, FakeInstalledRunner(**runner), **settings))

    assert reason in backend.reasons
    assert backend.verdict == verdict


def test_an_interrupted_sweep_gives_a_profile_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(IncompleteRunError):
        run_sweep(FakeInstalledRunner(drop_out_at=40), ARMS, tmp_path)

    backend = only_backend(fit_profile(tmp_path, now=datetime.now(UTC)))

    assert "incomplete-sweep" in backend.reasons
    assert backend.verdict == "suspect"
    assert len(backend.arms) == len(ARMS)


def test_a_sweep_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IncompleteRunError):
        run_sweep(FakeInstalledRunner(drop_out_at=0), ARMS, tmp_path)

    with pytest.raises(SamplesError, match="no finished measurement"):
        fit_profile(tmp_path, now=datetime.now(UTC))


def test_a_folder_that_is_no_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="sweep description"):
        fit_profile(tmp_path, now=datetime.now(UTC))


def test_another_bundles_samples_stand_beside(tmp_path: Path) -> None:
    profile_of(tmp_path / "a", FakeInstalledRunner())
    other = profile_of(tmp_path / "b", FakeInstalledRunner(runner_sha256="d" * 64))

    joined = fit_profile(tmp_path / "a", now=datetime.now(UTC), beside=[tmp_path / "b"])

    (comparison,) = joined.beside
    assert comparison.runner_sha256 == "d" * 64 != joined.runner_sha256
    assert comparison.backends == other.backends
    assert joined.shown_backends == (*joined.backends, *other.backends)
    path = tmp_path / "profile.json"
    joined.write(path)
    assert Profile.read(path) == joined


def test_samples_of_another_device_do_not_stand_beside(tmp_path: Path) -> None:
    profile_of(tmp_path / "a", FakeInstalledRunner())
    stranger = FakeInstalledRunner()
    stranger.target.name = "adb:OTHER"
    profile_of(tmp_path / "b", stranger)

    with pytest.raises(SamplesError, match="samples of adb:OTHER, not of adb:FAKE"):
        fit_profile(tmp_path / "a", now=datetime.now(UTC), beside=[tmp_path / "b"])
