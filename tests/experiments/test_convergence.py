"""Convergence tables that `fwdllm plan` reads are made of results."""

from __future__ import annotations

import pytest

from experiments.convergence import table_of, write_tables
from toolkit.plan.convergence import read_convergence


def group(declared, name):
    return [one for one in declared if one.group == name]


def test_a_row_counts_until_the_target(declared, made_result):
    published, *_, head_only = group(declared, "minilm-iid")
    table = table_of([made_result(published, best=1.5), made_result(head_only, best=0.5)])
    reaching, missing = table.rows
    # 0.9 in round 3 of 5, at 100 probes and 10 clients a round.
    assert (reaching.method, reaching.reached, reaching.rounds) == (published.method, True, 3)
    assert (reaching.probes, reaching.clients, reaching.estimator) == (300, 10, "central")
    assert (reaching.forward_passes, reaching.bp_steps) == (0, 0)
    assert (missing.reached, missing.rounds) == (False, 5)


@pytest.mark.parametrize(
    ("method", "steps", "passes"), [("BP-LoRA FedAvg", 35, 0), ("head only", 0, 1_000)]
)
def test_work_without_directions_is_told_apart(declared, made_result, method, steps, passes):
    [one] = [each for each in group(declared, "minilm-iid") if each.method == method]
    made = made_result(one)
    rounds = tuple(
        each.model_copy(update={"probes": 0, "backward_passes": 7 * (each.round > 0)})
        for each in made.rounds
    )
    [row] = table_of([made.model_copy(update={"rounds": rounds})]).rows
    assert row.backpropagates == (method != "head only")
    assert row.head_only == (method == "head only")
    assert (row.bp_steps, row.forward_passes) == (steps, passes)


def test_only_groups_with_a_baseline_get_a_table(tmp_path, declared, made_result):
    results = [made_result(one) for one in declared if one.group in ("minilm-iid", "head-iid")]
    changed = [
        one
        if one.experiment.run.kind == "forward"
        else one.model_copy(
            update={
                "rounds": tuple(
                    each.model_copy(update={"probes": 0, "backward_passes": 1})
                    for each in one.rounds
                )
            }
        )
        for one in results
    ]
    write_tables(changed, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["minilm-iid.json"]
    table = read_convergence(tmp_path / "minilm-iid.json")
    assert len(table.rows) == len(group(declared, "minilm-iid"))
