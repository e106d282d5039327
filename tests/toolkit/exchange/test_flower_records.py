"""Profiles as Flower's records."""

from __future__ import annotations

from pathlib import Path

import pytest
from flwr.app import ConfigRecord, RecordDict

from tests.toolkit.made_profiles import cost, interval, profile
from toolkit.exchange.errors import ExchangeError
from toolkit.exchange.flower_records import (
    config_record,
    cost_model,
    read_config_records,
    write_config_records,
)

PROFILE = profile(
    "adb:A",
    verdict="suspect",
    reasons=("spread-above-10-percent",),
    tangents=cost(0.4, error=None),
    sustained=interval(1.25),
)


def test_records_read_back_the_same(tmp_path: Path) -> None:
    profiles = [PROFILE, profile("adb:B", memory=None)]
    write_config_records(tmp_path / "records.json", profiles)

    records = read_config_records(tmp_path / "records.json")

    assert records == {each.target: config_record(each) for each in profiles}
    # And the same after a journey through Flower.
    sent = RecordDict({"profile": records["adb:A"]})["profile"]
    assert isinstance(sent, ConfigRecord)
    assert ConfigRecord.inflate(sent.deflate()) == records["adb:A"]


def test_a_record_holds_what_prices_a_probe() -> None:
    record = config_record(PROFILE)

    (backend,) = PROFILE.backends
    assert record["backends"] == ["ggml-cpu"]
    assert record["ggml-cpu.verdict"] == "suspect"
    assert record["ggml-cpu.reasons"] == ["spread-above-10-percent"]
    assert record["ggml-cpu.sustained_factor"] == 1.25
    for estimator in ("central", "forward", "tangent"):
        assert cost_model(record, "ggml-cpu", estimator) == backend.cost_of(estimator)
    assert cost_model(record, "ggml-vulkan", "central") is None


def test_what_is_not_known_has_no_key() -> None:
    record = config_record(profile("adb:B", memory=None))
    assert "memory_total_bytes" not in record
    assert not any("sustained" in key or "tangent" in key for key in record)


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": {"b": {"c": 1}}}', "{"])
def test_other_files_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "records.json"
    path.write_text(content)
    with pytest.raises(ExchangeError, match="config records"):
        read_config_records(path)
