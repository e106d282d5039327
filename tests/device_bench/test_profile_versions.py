"""Profiles are read back as they were written, by this version and by older ones."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_bench.profile import (
    ArmSummary,
    BackendProfile,
    Comparison,
    CostModel,
    Derivation,
    Interval,
    Parameter,
    Profile,
    SlopeError,
)
from exporters.errors import ContractError
from tests.toolkit.made_profiles import facts

# Written by the last version before `derivation`, from a sweep on the fake runner.
VERSION_1 = Path(__file__).with_name("profile_version_1.json")

moments = st.datetimes(timezones=st.just(UTC))
positive = st.floats(1e-12, 1e12)
counts = st.integers(1, 2**40)
texts = st.text(max_size=10)
intervals = st.builds(Interval, value=positive, low=positive, high=positive)
costs = st.builds(
    CostModel,
    fixed_s=positive,
    per_token_s=positive,
    per_attention_pair_s=positive,
    per_direction_s=positive,
    median_relative_error=st.none() | positive,
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


def test_a_profile_of_version_1_is_read(tmp_path: Path) -> None:
    old = json.loads(VERSION_1.read_text())
    assert old["schema_version"] == 1
    profile = Profile.read(VERSION_1)

    assert profile.schema_version == 2
    assert profile.derivation is None
    assert profile.measured_at == datetime.fromisoformat(old["measured_at"])
    (backend,), (old_backend,) = profile.backends, old["backends"]
    assert len(backend.arms) == len(old_backend["arms"])
    assert backend.cost is not None
    assert backend.cost.per_token_s == old_backend["cost"]["per_token_s"]

    profile.write(tmp_path / "profile.json")
    assert Profile.read(tmp_path / "profile.json") == profile


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema_version": 99}, "version 99, this fwdllm reads versions 1 to 2"),
        ({"speed": 1}, "it has a field speed, which is not known"),
        ({"target": None}, "target"),
        ({"measured_at": "2026-01-01T00:00:00"}, "measured_at"),
    ],
)
@pytest.mark.parametrize("version", [1, 2])
def test_what_is_no_profile_is_refused_by_its_fields(
    tmp_path: Path, change: dict, reason: str, version: int
) -> None:
    document = {**json.loads(VERSION_1.read_text()), "schema_version": version, **change}
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(document))

    with pytest.raises(ContractError, match=reason):
        Profile.read(path)
