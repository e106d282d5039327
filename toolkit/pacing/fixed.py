"""Rounds of a fixed number of probes."""

from __future__ import annotations

from typing import ClassVar, Literal

from exporters.contract import Part
from toolkit.pacing.evidence import Decision, Evidence


class FixedPacing(Part):
    """Commits whatever the first increment gave."""

    wants_along: ClassVar[bool] = False

    kind: Literal["fixed"] = "fixed"

    def decide(self, evidence: Evidence) -> Decision:
        """The statistic is the number of probes."""
        return Decision(True, 0, float(evidence.probes_so_far), "the round has its probes")
