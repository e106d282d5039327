"""The profile's section of the report: its arms, its estimators, and what is not known of them."""

from __future__ import annotations

from made_profiles import arm, cost, profile, slope_errors

from toolkit.report.profile_section import profile_section

ARMS = (
    arm(1, 2.0),
    arm(8, 0.75, estimator="tangent"),
    arm(8, 0.3, estimator="tangent", layers=(4, 5)),
)


def test_every_arm_says_which_layers_move_and_what_the_models_say() -> None:
    section = profile_section(profile("phone", seconds=2.0, arms=ARMS, tangents=cost(0.6)))

    arms = section.tables[0]
    layers, modelled = arms.headers.index("layers"), arms.headers.index("s per probe (modelled)")
    assert [row[layers] for row in arms.rows] == ["all", "all", "4-5"]
    assert [row[modelled] for row in arms.rows] == ["2", "0.375", ""]
    assert section.plots[0].startswith("<svg")


def test_estimators_stand_beside_their_errors() -> None:
    errors = slope_errors(central=0.2, tangent=0.02)
    section = profile_section(profile("phone", arms=ARMS, errors=errors))

    assert section.tables[1].rows == [
        ("central", "1", "2", "0.2", "2.08"),
        ("tangent", "8", "0.75", "0.02", "0.75"),
    ]
    facts = dict(section.facts)
    assert facts["slope error of central (measured)"] == "0.2 over 8 directions at epsilon 0.01"
    assert facts["slope error of tangent (measured)"] == "0.02 over 8 directions"


def test_a_profile_of_some_layers_alone_has_no_models_and_no_estimators_to_compare() -> None:
    section = profile_section(profile("phone", arms=ARMS[2:], differences=False))

    assert len(section.tables) == 1
    assert section.plots[0].startswith("<svg")
