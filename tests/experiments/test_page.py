"""The page follows from stored results alone."""

from __future__ import annotations

from experiments.allocation import run_allocation
from experiments.contract import MemoryResult
from experiments.page import write_page
from experiments.store import Store


def memory():
    return MemoryResult(
        batch=8,
        tokens=64,
        rows={"central-1": (100 << 20, 110 << 20), "reverse-lora": (100 << 20, 150 << 20)},
        versions={"torch": "2"},
    )


def test_every_group_gets_a_table_and_a_plot(tmp_path, declared, made_result):
    results = [made_result(one, 0.8 + 0.02 * i % 0.1) for i, one in enumerate(declared)]
    page = write_page(results, memory(), run_allocation(trials=3), tmp_path, quick=True)
    text = page.read_text()
    for experiment in declared:
        assert experiment.method in text
    for image in tmp_path.glob("images/*.png"):
        assert f"(images/{image.name})" in text
    assert len(list(tmp_path.glob("images/*.png"))) == text.count("![")
    assert "| reverse-lora | 100 | 150 | 50 |" in text
    assert "quick versions" in text


def test_the_same_results_give_the_same_files(tmp_path, declared, made_result):
    results = [made_result(one) for one in declared[:3]]
    for name in ("a", "b"):
        write_page(results, memory(), None, tmp_path / name, quick=False)
    files = sorted((tmp_path / "a").rglob("*.*"))
    assert len(files) == 3
    for file in files:
        assert file.read_bytes() == (tmp_path / "b" / file.relative_to(tmp_path / "a")).read_bytes()


def test_what_it_took_to_the_target_has_a_line_of_its_own(tmp_path, declared, made_result):
    results = [made_result(declared[0], best=1.5), made_result(declared[1], best=0.5)]
    text = write_page(results, None, None, tmp_path, quick=False).read_text()
    lines = [line for line in text.splitlines() if line.startswith(("| FwdLLM", "| ours", "|  |"))]
    assert len(lines) == 3
    # 0.9 in round 3 of 5, at 100 probes a round.
    assert "| 0.85 | 3 | 300 |" in lines[0]
    assert "| the end | 5 | 500 |" in lines[1]
    assert "| the end |" in lines[2] and "| 0.5000 |" in lines[2]


def test_a_store_returns_what_it_was_given(tmp_path, declared, made_result):
    store = Store(tmp_path, quick=True)
    result = made_result(declared[0])
    assert store.result(declared[0]) is None
    store.save(result)
    store.save(memory())
    assert store.result(declared[0]) == result
    assert store.memory() == memory()
    assert store.allocation() is None
    assert Store(tmp_path, quick=False).result(declared[0]) is None


def test_a_result_of_other_settings_is_no_result(tmp_path, declared, made_result):
    store = Store(tmp_path, quick=True)
    store.save(made_result(declared[0]))
    config = declared[0].run.config.model_copy(update={"rounds": 7})
    changed = declared[0].model_copy(
        update={"run": declared[0].run.model_copy(update={"config": config})}
    )
    assert changed.name == declared[0].name
    assert store.result(changed) is None


def test_policies_meet_the_same_fleets():
    result = run_allocation(trials=3)
    seeds = {row.policy: [] for row in result.rows}
    for row in result.rows:
        seeds[row.policy].append(row.seed)
    assert set(map(tuple, seeds.values())) == {(0, 1, 2)}
    medians = {(row.policy, row.seed): row.median_s for row in result.rows}
    for seed in (0, 1, 2):
        assert medians["minimum makespan", seed] < medians["uniform", seed]
