"""Sentences about results say what the results say."""

from __future__ import annotations

import pytest

from experiments.catalogue import EXACT_HEAD, OURS, PUBLISHED
from experiments.findings import findings


@pytest.fixture
def runs(declared, made_result):
    """Made results of a group's methods, {method: best accuracy by seed}."""

    def make(group, accuracies):
        chosen = {(one.method, one.problem.seed): one for one in declared if one.group == group}
        return [
            made_result(chosen[method, seed], best)
            for method, of_seeds in accuracies.items()
            for seed, best in enumerate(of_seeds)
        ]

    return make


def test_probes_to_the_target_are_compared(runs):
    # 1.5 is past the target in round 3 of 5, 0.86 in the last one; a round has 100 probes.
    said = findings(runs("head-iid", {PUBLISHED: [0.86] * 3, OURS: [1.5, 1.5, 0.86]}))
    # A round has 1,600 example passes.
    assert said == [
        "To 0.85, ours takes 367 probes (5,867 example passes), FwdLLM as published 500 (8,000): "
        "0.73 of the probes, 0.73 of the example passes."
    ]


def test_a_run_that_never_gets_there_bounds_the_share(runs):
    [said] = findings(runs("head-iid", {PUBLISHED: [0.8, 0.86, 0.8], OURS: [1.5] * 3}))
    assert "at least (2 of 3 seeds never got there) 500 (8,000): at most 0.60 of" in said


def test_no_share_is_claimed_where_ours_does_not_get_there(runs):
    [said] = findings(runs("head-iid", {PUBLISHED: [0.86] * 3, OURS: [0.86, 0.8, 0.86]}))
    assert said == ("0.85 is reached by 2 of 3 seeds of ours, 3 of 3 seeds of FwdLLM as published.")


def test_accuracies_are_compared_seed_by_seed(runs):
    accuracies = {
        EXACT_HEAD: [0.90, 0.80],
        "head only": [0.89, 0.795],
        "BP-LoRA and head": [0.91, 0.82],
    }
    added, beside = findings(runs("exact-head-iid", accuracies))
    assert "+0.75 points of accuracy, +0.50 to +1.00 over 2 seeds" in added
    assert "-1.50 points of accuracy, -2.00 to -1.00 over 2 seeds" in beside


def test_nothing_is_said_of_what_is_not_there(runs):
    assert findings(runs("exact-head-iid", {EXACT_HEAD: [0.9]})) == []
    assert findings([]) == []
