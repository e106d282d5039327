"""Whether a backend's numbers can be trusted, in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from device_bench.fitting.verdict import rule_of
from device_bench.profiles.profile import ArmSummary, BackendProfile, Profile, RowFinding
from toolkit.report.content import Cell, Finding, Section, Standing, Table, columns
from toolkit.report.wording import arm_name, jobs_text, moment

_MOST_NAMED = 4


def standing_of(profile: Profile, backend: BackendProfile, now: datetime) -> Standing:
    """The backend's verdict; what has expired is no longer valid, and stays suspect or invalid."""
    if backend.verdict == "valid" and profile.expired(now):
        return "expired"
    return backend.verdict


def validity_part(profile: Profile, backend: BackendProfile, now: datetime, anchor: str) -> Section:
    """The verdict, each reason with its remedy, and the numbers that decided it."""
    standing = standing_of(profile, backend, now)
    facts: list[tuple[str, str | Cell]] = [("verdict", Cell(standing, standing=standing))]
    if backend.arms:
        widest = max(backend.arms, key=lambda arm: arm.relative_spread)
        fewest = min(backend.arms, key=lambda arm: arm.jobs or arm.repetitions)
        facts += [
            ("widest spread (measured)", f"{widest.relative_spread:.1%} at {arm_name(widest)}"),
            ("fewest jobs", f"{jobs_text(fewest)} at {arm_name(fewest)}"),
            ("outliers", _outliers(backend)),
        ]
    facts += [
        (
            f"slope error of {error.estimator} (measured)",
            f"{error.relative_error:.2g} over {error.directions} directions"
            + ("" if error.epsilon is None else f" at epsilon {error.epsilon:.2g}"),
        )
        for error in backend.slope_errors
    ]
    if backend.sustained_factor is not None:
        factor, told = backend.sustained_factor, backend.sustained is not None
        facts.append(
            (
                f"after long work ({'measured' if told else 'modelled'})",
                f"{factor.value:.2f} times as slow ({factor.low:.2f} to {factor.high:.2f})",
            )
        )
    findings = [finding_of(reason) for reason in backend.reasons]
    if profile.expired(now):
        findings.append(
            Finding(
                "expired",
                f"the profile expired at {moment(profile.expires_at)}",
                "measure into a new folder, and fit a profile to it",
            )
        )
    tables = [_findings_table(backend)] if any(arm.findings for arm in backend.arms) else []
    return Section("Validity", f"{anchor}_validity", facts, findings, tables=tables)


def _findings_table(backend: BackendProfile) -> Table:
    """What policies found of single jobs, which count all the same; a row for each policy."""
    found: dict[str, list[tuple[ArmSummary, RowFinding]]] = defaultdict(list)
    for arm in backend.arms:
        for finding in arm.findings:
            found[finding.reason].append((arm, finding))
    return Table(
        "Jobs that were flagged (measured); an arm is suspect where they are more than a third",
        columns("found", "#jobs", "#arms", "suspect arms", "such as", "at"),
        [_findings_row(reason, rows) for reason, rows in found.items()],
    )


def _findings_row(
    reason: str, rows: Sequence[tuple[ArmSummary, RowFinding]]
) -> tuple[str | Cell, ...]:
    suspect = [arm_name(arm) for arm, _ in rows if reason in arm.reasons]
    arm, most = max(rows, key=lambda row: row[1].jobs / row[1].of)
    names = ", ".join(suspect[:_MOST_NAMED])
    more = len(suspect) - _MOST_NAMED
    return (
        reason,
        str(sum(finding.jobs for _, finding in rows)),
        str(len(rows)),
        (f"{names} and {more} more" if more > 0 else names) or "none",
        most.worst,
        arm_name(arm),
    )


def finding_of(reason: str) -> Finding:
    """A reason of a verdict in words, with what helps."""
    rule = rule_of(reason)
    if rule is None:
        return Finding("suspect", reason, "this version of fwdllm does not know the reason")
    return Finding(rule.verdict, f"{reason}: {rule.meaning}", rule.remedy)


def _outliers(backend: BackendProfile) -> str:
    found = sum(arm.outliers for arm in backend.arms)
    return f"{found} of {sum(arm.repetitions for arm in backend.arms)} repetitions, none dropped"
