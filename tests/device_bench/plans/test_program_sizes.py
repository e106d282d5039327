"""What a sweep may ask of programs of fixed sizes, and which arms are padded."""

from __future__ import annotations

import pytest

from device_bench.errors import SweepSettingsError
from device_bench.plans.program_sizes import padded_arms, refuse_arms_without_program
from device_bench.plans.sweep_plan import Arm, arms_of
from exporters.manifest import Delegation, Program


def program(kind: str, batch: int, length: int, slots: int) -> Program:
    return Program(
        file="program.pte",
        method=f"{kind}_{batch}_{length}_{slots}",
        kind="tangent" if kind == "tangent" else "loss",
        batch=batch,
        length=length,
        positions=batch,
        slots=slots,
        inputs=(),
        outputs=(),
        delegation=Delegation(backend="xnnpack", delegated=1, subgraphs=1, portable={}),
    )


PROGRAMS = (program("loss", 2, 16, 2), program("loss", 8, 64, 4), program("tangent", 8, 64, 8))


def arm(batch: int, tokens: int, directions: int, estimator: str) -> Arm:
    (made,) = arms_of([batch], [tokens], [directions], [estimator])
    return made


@pytest.mark.parametrize(
    ("asked", "padded"),
    [
        (arm(2, 16, 1, "central"), False),  # both signs fill the two slots
        (arm(2, 16, 1, "forward"), True),
        (arm(4, 16, 2, "forward"), False),  # two chunks
        (arm(3, 16, 1, "central"), True),
        (arm(2, 15, 1, "central"), True),
        (arm(8, 64, 2, "central"), False),
        (arm(8, 64, 8, "tangent"), False),
        (arm(8, 64, 4, "tangent"), True),
        (arm(1, 8, 1, "tangent"), True),
    ],
)
def test_an_arm_is_padded_unless_full_runs_make_it_up(asked: Arm, padded: bool) -> None:
    refuse_arms_without_program([asked], PROGRAMS)
    assert padded_arms([asked], PROGRAMS) == ([asked] if padded else [])


@pytest.mark.parametrize(
    ("asked", "programs", "said", "remedy"),
    [
        (arm(1, 65, 1, "central"), PROGRAMS, "reads 65 tokens by central", "at most 64 tokens"),
        (arm(1, 8, 1, "tangent"), PROGRAMS[:2], "slopes by the estimator tangent", "another"),
        (arm(1, 8, 1, "forward"), PROGRAMS[2:], "slopes by the estimator forward", "another"),
    ],
)
def test_an_arm_that_no_program_computes_is_refused(
    asked: Arm, programs: tuple[Program, ...], said: str, remedy: str
) -> None:
    with pytest.raises(SweepSettingsError, match=said) as caught:
        refuse_arms_without_program([asked], programs)
    assert remedy in caught.value.remedy


def test_a_bundle_without_programs_has_any_size() -> None:
    arms = [arm(3, 1000, 5, "tangent")]
    refuse_arms_without_program(arms, ())
    assert padded_arms(arms, ()) == []
