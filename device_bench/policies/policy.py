"""The form of a policy: it looks at the jobs of one backend and says which are suspect, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from device_bench.policies.evidence import JobEvidence


@dataclass(frozen=True)
class Finding:
    """Why a job is suspect.

    Attributes:
        position: the job's in the sweep's order.
        text: what was seen, with its numbers.
        size: how bad it is beside other findings of the same policy.
    """

    position: int
    text: str
    size: float


@dataclass(frozen=True)
class Policy:
    """One reason not to trust a job.

    Attributes:
        reason: a code for scripts; does not change between versions.
        meaning, remedy: what it says of a row of a profile, and what helps.
        look: takes all jobs of a backend, since many faults show only beside the best of them.
            Where something cannot be told it finds nothing.
    """

    reason: str
    meaning: str
    remedy: str
    look: Callable[[Sequence[JobEvidence]], Iterable[Finding]]
