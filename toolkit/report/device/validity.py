"""Whether a backend's numbers can be trusted, in words."""

from __future__ import annotations

from datetime import datetime

from device_bench.profile import BackendProfile, Profile
from device_bench.verdict import rule_of
from toolkit.report.content import Cell, Finding, Section, Standing
from toolkit.report.wording import arm_name, moment


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
        fewest = min(backend.arms, key=lambda arm: arm.repetitions)
        facts += [
            ("widest spread (measured)", f"{widest.relative_spread:.1%} at {arm_name(widest)}"),
            ("fewest repetitions", f"{fewest.repetitions} at {arm_name(fewest)}"),
            ("outliers", _outliers(backend)),
        ]
    facts += [
        (
            f"slope error of {error.estimator} (measured)",
            f"{error.relative_error:.2g} over {error.directions} directions"
            + ("" if error.epsilon is None else f" at epsilon {error.epsilon:g}"),
        )
        for error in backend.slope_errors
    ]
    if backend.sustained_factor is not None:
        factor = backend.sustained_factor
        facts.append(
            (
                "after long work (measured)",
                f"{factor.value:.2f} times as slow ({factor.low:.2f} to {factor.high:.2f})",
            )
        )
    findings = [_finding(reason) for reason in backend.reasons]
    if profile.expired(now):
        findings.append(
            Finding(
                "expired",
                f"the profile expired at {moment(profile.expires_at)}",
                "measure into a new folder, and fit a profile to it",
            )
        )
    return Section("Validity", f"{anchor}_validity", facts, findings)


def _finding(reason: str) -> Finding:
    rule = rule_of(reason)
    if rule is None:
        return Finding("suspect", reason, "this version of fwdllm does not know the reason")
    return Finding(rule.verdict, f"{reason}: {rule.meaning}", rule.remedy)


def _outliers(backend: BackendProfile) -> str:
    found = sum(arm.outliers for arm in backend.arms)
    return f"{found} of {sum(arm.repetitions for arm in backend.arms)} repetitions, none dropped"
