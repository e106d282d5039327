"""Profiles are read back as they were written, by this version and by older ones."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_bench.costs.cost_model import CostModel
from device_bench.costs.memory_model import MemoryModel
from device_bench.costs.program_runs import ProgramSize
from device_bench.costs.setting import Setting
from device_bench.costs.work import ModelShape
from device_bench.numerics.contract import SlopeError
from device_bench.profiles.profile import (
    ArmSummary,
    BackendProfile,
    Comparison,
    Derivation,
    EnergyModel,
    Interval,
    Parameter,
    Profile,
)
from exporters.errors import ContractError
from tests.toolkit.made_profiles import facts

# Written from sweeps on the fake runner, by the last versions before `derivation` and before costs
# of counted work.
OLD = [Path(__file__).with_name(f"profile_version_{version}.json") for version in (1, 2)]

moments = st.datetimes(timezones=st.just(UTC))
positive = st.floats(1e-12, 1e12)
counts = st.integers(1, 2**40)
texts = st.text(max_size=10)
intervals = st.builds(Interval, value=positive, low=positive, high=positive)
errors = st.none() | positive
costs = st.builds(
    CostModel,
    fixed_s=positive,
    s_per_weight_byte=positive,
    s_per_flop=positive,
    s_per_attention_flop=positive,
    s_per_moved_parameter=positive,
    median_relative_error=errors,
    undetermined=st.lists(texts, max_size=2).map(tuple),
)
memories = st.builds(
    MemoryModel,
    base_bytes=positive,
    bytes_per_column=positive,
    bytes_per_pair=positive,
    bytes_per_parameter=positive,
    margin=positive,
    median_relative_error=errors,
    arms=counts,
)
programs = st.builds(
    ProgramSize,
    kind=st.sampled_from(["loss", "tangent"]),
    batch=counts,
    length=counts,
    positions=counts,
    slots=counts,
)
shapes = st.builds(
    ModelShape,
    layers=counts,
    adapted_layers=st.lists(counts, max_size=2).map(tuple),
    layer_flops=positive,
    input_flops=positive,
    pair_flops=positive,
    tangent_pairs=positive,
    attention_tile=counts,
    output_flops=positive,
    layer_weight_bytes=positive,
    output_weight_bytes=positive,
    lora_parameters=counts,
    loss_positions=st.sampled_from(["last", "all"]),
    programs=st.lists(programs, max_size=2).map(tuple),
)
estimators = st.sampled_from(["central", "forward", "tangent"])
arms = st.builds(
    ArmSummary,
    batch=counts,
    tokens=counts,
    directions_per_pass=counts,
    estimator=estimators,
    threads=counts,
    repetitions=counts,
    seconds_per_probe=intervals,
    relative_spread=positive,
    outliers=counts,
    peak_memory_bytes=counts,
    provenance=st.sampled_from(["measured", "modelled"]),
    layers=st.none() | st.tuples(counts, counts),
    joules_per_probe=st.none() | intervals,
)
backends = st.builds(
    BackendProfile,
    backend=texts,
    cost=st.none() | costs,
    cost_provenance=st.sampled_from(["measured", "modelled"]),
    arms=st.lists(arms, max_size=2).map(tuple),
    peak_memory_bytes=counts,
    verdict=st.sampled_from(["valid", "suspect", "invalid"]),
    reasons=st.lists(texts, max_size=2).map(tuple),
    sustained_factor=st.none() | intervals,
    tangent_cost=st.none() | costs,
    slope_errors=st.lists(
        st.builds(
            SlopeError,
            estimator=estimators,
            epsilon=st.none() | positive,
            directions=counts,
            relative_error=positive,
        ),
        max_size=2,
    ).map(tuple),
    shape=st.none() | shapes,
    memory=st.none() | memories,
    tangent_memory=st.none() | memories,
    energy=st.none()
    | st.builds(EnergyModel, watts=intervals, median_relative_error=errors, arms=counts),
)
of_bundle = {"bundle_sha256": texts, "runner_sha256": texts}
backend_lists = st.lists(backends, max_size=2).map(tuple)
parameters = st.builds(
    Parameter, name=texts, value=st.floats(allow_nan=False, allow_infinity=False), source=texts
)
profiles = st.builds(
    Profile,
    target=texts,
    device=st.builds(facts, st.none() | counts),
    backends=backend_lists,
    **of_bundle,
    measured_at=moments,
    expires_at=moments,
    beside=st.lists(st.builds(Comparison, **of_bundle, backends=backend_lists), max_size=1).map(
        tuple
    ),
    derivation=st.none()
    | st.builds(
        Derivation,
        rule=texts,
        measured_on=texts,
        parameters=st.lists(parameters, max_size=2).map(tuple),
    ),
)


@settings(max_examples=50, deadline=None)
@given(profiles)
def test_a_profile_reads_back_as_it_was_written(profile: Profile) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "profile.json"
        profile.write(path)
        assert Profile.read(path) == profile


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_a_profile_of_an_older_version_is_read(path: Path, tmp_path: Path) -> None:
    old = json.loads(path.read_text())
    profile = Profile.read(path)

    assert profile.schema_version == 3 > old["schema_version"]
    assert profile.derivation is None
    assert profile.measured_at == datetime.fromisoformat(old["measured_at"])
    (backend,), (old_backend,) = profile.backends, old["backends"]
    assert len(backend.arms) == len(old_backend["arms"])

    profile.write(tmp_path / "profile.json")
    assert Profile.read(tmp_path / "profile.json") == profile


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
@settings(max_examples=25, deadline=None)
@given(st.integers(1, 64), st.integers(1, 512), st.integers(1, 16), estimators)
def test_old_cost_models_predict_the_seconds_that_they_always_did(
    path: Path, batch: int, tokens: int, directions: int, estimator: str
) -> None:
    (backend,) = Profile.read(path).backends
    (old,) = json.loads(path.read_text())["backends"]
    cost = old["tangent_cost" if estimator == "tangent" else "cost"]
    copies = directions + (estimator == "tangent")
    one_pass = (
        cost["fixed_s"]
        + cost["per_token_s"] * batch * tokens * copies
        + cost["per_attention_pair_s"] * batch * tokens**2 * copies
        + cost["per_direction_s"] * copies
    )
    expected = (2 if estimator == "central" else 1) * one_pass / directions

    modelled = backend.modelled_seconds(Setting(batch, tokens, estimator, directions))  # type: ignore[arg-type]
    assert modelled == pytest.approx(expected)


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_old_profiles_predict_nothing_of_a_range_of_layers(path: Path) -> None:
    (backend,) = Profile.read(path).backends
    assert backend.modelled_seconds(Setting(4, 16, "central", 8)) is not None
    for layers in ((0, 0), (4, 5)):
        assert backend.modelled_seconds(Setting(4, 16, "central", 8, layers)) is None


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_the_memory_of_old_profiles_is_fitted_to_their_arms(path: Path) -> None:
    (backend,) = Profile.read(path).backends
    for arm in backend.arms:
        if arm.layers is None:
            modelled = backend.modelled_bytes(arm.setting)
            assert modelled is not None and modelled >= arm.peak_memory_bytes * (1 - 1e-9)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema_version": 99}, "version 99, this fwdllm reads versions 1 to 3"),
        ({"speed": 1}, "it has a field speed, which is not known"),
        ({"target": None}, "target"),
        ({"measured_at": "2026-01-01T00:00:00"}, "measured_at"),
    ],
)
@pytest.mark.parametrize("old", OLD, ids=lambda path: path.stem)
def test_what_is_no_profile_is_refused_by_its_fields(
    tmp_path: Path, change: dict, reason: str, old: Path
) -> None:
    document = {**json.loads(old.read_text()), **change}
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(document))

    with pytest.raises(ContractError, match=reason):
        Profile.read(path)
