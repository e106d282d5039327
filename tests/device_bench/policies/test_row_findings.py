"""From findings on jobs to what a row says."""

from __future__ import annotations

import pytest

from device_bench.policies.row_findings import POLICIES, reasons_of, row_findings
from tests.device_bench.policies.made_jobs import ARM, job

OTHER = ARM.model_copy(update={"tokens": 64})


def test_reasons_are_unlike_each_other() -> None:
    assert len({policy.reason for policy in POLICIES}) == len(POLICIES)


def test_a_row_has_the_count_and_the_worst_of_its_own_jobs() -> None:
    statuses = (0, 1, 3, 0)
    jobs = [job(n, thermal_status=status) for n, status in enumerate(statuses)]
    jobs += [job(9, arm=OTHER, thermal_status=5)]

    rows = row_findings(jobs)

    (finding,) = rows[ARM]
    assert (finding.reason, finding.jobs, finding.of) == ("thermal-status-raised", 2, 4)
    assert finding.worst == "thermal status 3 (severe)"
    assert [each.of for each in rows[OTHER]] == [1]


@pytest.mark.parametrize(
    ("hot", "suspect"), [(0, False), (1, False), (2, False), (3, True), (6, True)]
)
def test_a_row_is_suspect_for_what_is_found_of_more_than_a_third(hot: int, suspect: bool) -> None:
    jobs = [job(n, thermal_status=int(n < hot)) for n in range(6)]

    assert bool(reasons_of(row_findings(jobs)[ARM])) == suspect


def test_sound_jobs_have_no_findings() -> None:
    assert row_findings([job(0), job(1, arm=OTHER)]) == {ARM: (), OTHER: ()}
