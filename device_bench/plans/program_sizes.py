"""What a sweep means for a bundle whose programs have fixed sizes.

A batch runs on such programs in chunks, with padding up to the program's sizes. The padding is
computed like everything else, so the time of an arm that no program holds exactly is that of the
programs it is padded to: what a round of that size would really take there.
"""

from __future__ import annotations

from collections.abc import Sequence

from device_bench.errors import SweepSettingsError
from device_bench.plans.sweep_plan import Arm
from exporters.manifest import Program


def refuse_arms_without_program(arms: Sequence[Arm], programs: Sequence[Program]) -> None:
    """Before anything is measured; bundles without programs have any size.

    Raises:
        SweepSettingsError: no program computes an arm's slopes, or reads examples of its length.
    """
    for arm in arms if programs else ():
        usable = _of_kind(arm, programs)
        if not usable:
            raise SweepSettingsError(
                f"no program of the bundle computes slopes by the estimator {arm.estimator}",
                remedy="choose another estimator, or export programs of that kind",
            )
        lengths = sorted({program.length for program in usable})
        if arm.tokens > lengths[-1]:
            raise SweepSettingsError(
                f"no program of the bundle reads {arm.tokens} tokens by {arm.estimator}",
                remedy=f"choose at most {lengths[-1]} tokens, or export longer programs",
            )


def padded_arms(arms: Sequence[Arm], programs: Sequence[Program]) -> list[Arm]:
    """The arms that no program holds exactly; none where the bundle has no fixed sizes."""
    return [arm for arm in arms if programs and not _held_exactly(arm, programs)]


def _of_kind(arm: Arm, programs: Sequence[Program]) -> list[Program]:
    kind = "tangent" if arm.estimator == "tangent" else "loss"
    return [program for program in programs if program.kind == kind]


def _held_exactly(arm: Arm, programs: Sequence[Program]) -> bool:
    """Whether runs of one program, full of examples and directions, make up the arm."""
    columns = arm.directions_per_pass * (2 if arm.estimator == "central" else 1)
    return any(
        program.length == arm.tokens
        and arm.batch % program.batch == 0
        and columns % program.slots == 0
        for program in _of_kind(arm, programs)
    )
