"""What is declared."""

from __future__ import annotations

import pytest

from experiments.catalogue import SEEDS, TARGET, experiments


@pytest.mark.parametrize("quick", [False, True])
def test_names_are_unique_and_fit_a_file(quick):
    names = [one.name for one in experiments(quick)]
    assert len(set(names)) == len(names)
    assert all(name.isascii() and not set(name) & set("/ \\") for name in names)


def test_quick_versions_are_the_same_experiments_made_smaller(declared):
    whole = experiments(quick=False)
    assert [one.name for one in declared] == [one.name for one in whole]
    for small, large in zip(declared, whole, strict=True):
        assert small.problem.rows < large.problem.rows
        assert small.run.config.rounds < large.run.config.rounds
        # A client must be able to fill a batch.
        assert small.problem.rows // small.problem.clients >= small.run.config.batch


def test_the_issues_comparisons_are_declared():
    found = {(one.group, one.method) for one in experiments(quick=False)}
    for division in ("iid", "dirichlet"):
        of_group = {method for group, method in found if group == f"minilm-{division}"}
        assert {"FwdLLM as published", "ours", "BP-LoRA FedAvg", "head only"} <= of_group
    for group in ("pacing", "sampling", "estimator"):
        of_group = [one for one in experiments(quick=False) if one.group == group]
        assert {one.problem.seed for one in of_group} == set(SEEDS)
    assert TARGET == 0.85


def test_methods_of_one_table_share_their_clients():
    for group in ("minilm-iid", "minilm-dirichlet", "stories-iid"):
        members = [one.problem for one in experiments(quick=False) if one.group == group]
        assert len({(one.partition, one.clients, one.rows, one.seed) for one in members}) == 1
