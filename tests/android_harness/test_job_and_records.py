from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.errors import IncompleteRunError, NotFiniteError, RunnerFailedError
from android_harness.job import (
    AlongTask,
    EvaluateTask,
    Job,
    ProbeTask,
    TimeTask,
    VerbalizerLoss,
    VocabularyLoss,
    Warmup,
)
from android_harness.records import (
    AlongRecord,
    EndRecord,
    ErrorRecord,
    EvaluationRecord,
    MemoryRecord,
    PaceRecord,
    Phase,
    ProbeRecord,
    Record,
    SampleRecord,
    WarmupRecord,
    parse_records,
)
from exporters.lora.combination import Combination
from exporters.lora.support import Support
from tests.android_harness.runs.recorded_runs import whole_run

counts = st.integers(min_value=1, max_value=1 << 40)
numbers = st.floats(allow_nan=False, allow_infinity=False)
seeds = st.integers(min_value=0, max_value=(1 << 63) - 1)
lines = st.lists(st.integers(min_value=0, max_value=1000), min_size=1, max_size=4).map(tuple)
names = seeds | st.lists(seeds, max_size=4).map(tuple)
distributions = st.sampled_from(["rademacher", "gaussian"])
supports = st.builds(
    Support,
    layers=st.none() | st.tuples(*[st.integers(min_value=0, max_value=100)] * 2),
    matrices=st.sampled_from(["AB", "B"]),
    head=st.booleans(),
)
measuring = {
    "batch": lines,
    "estimator": st.sampled_from(["central", "forward", "tangent"]),
    "epsilon": st.floats(min_value=1e-8, max_value=1.0),
}
probing = {
    **measuring,
    "distribution": distributions,
    "directions_per_pass": st.integers(min_value=1, max_value=64),
    "support": supports,
}
tasks = st.one_of(
    st.builds(ProbeTask, directions=st.lists(names, min_size=1, max_size=4).map(tuple), **probing),
    st.builds(AlongTask, direction=st.text(min_size=1), **measuring),
    st.builds(
        TimeTask,
        warmup=st.builds(
            Warmup,
            least=st.integers(min_value=0, max_value=9),
            most_ms=st.integers(min_value=0, max_value=9000),
        ),
        repetitions=st.integers(min_value=1, max_value=99),
        first_seed=seeds,
        **probing,
    ),
    st.builds(EvaluateTask, batch=lines),
)
jobs = st.builds(
    Job,
    model=st.text(min_size=1),
    adapter=st.text(min_size=1),
    examples=st.text(min_size=1),
    lora_values=st.none() | st.text(min_size=1),
    updates=st.lists(
        st.builds(
            Combination,
            distribution=distributions,
            support=supports,
            pairs=st.lists(st.tuples(names, numbers), max_size=3).map(tuple),
        ),
        max_size=2,
    ).map(tuple),
    lora_values_out=st.none() | st.text(min_size=1),
    loss=st.just(VocabularyLoss())
    | st.builds(VerbalizerLoss, tokens=st.lists(st.integers(), min_size=2).map(tuple)),
    threads=st.integers(min_value=1, max_value=64),
    cpu_mask=st.none() | st.from_regex(r"0x[0-9a-f]{1,8}", fullmatch=True),
    tasks=st.lists(tasks, max_size=3).map(tuple),
)
middle_records = st.one_of(
    st.builds(
        SampleRecord,
        event=st.just("sample"),
        phase=st.sampled_from(get_args(Phase)),
        **{
            name: counts
            for name in (
                "task",
                "repetition",
                "directions",
                "passes",
                "start_ns",
                "wall_ns",
                "cpu_ns",
            )
        },
    ),
    st.builds(
        WarmupRecord,
        event=st.just("warmup"),
        task=counts,
        settled=st.booleans(),
        repetitions=counts,
        wall_ns=counts,
    ),
    st.builds(
        PaceRecord,
        event=st.just("pace"),
        task=counts,
        when=st.sampled_from(["before", "after"]),
        wall_ns=counts,
    ),
    st.builds(
        ProbeRecord,
        event=st.just("probe"),
        task=counts,
        direction=names,
        slope=numbers,
        loss_plus=numbers,
        loss_minus=numbers,
    ),
    st.builds(
        AlongRecord,
        event=st.just("along"),
        task=counts,
        slope=numbers,
        loss_plus=numbers,
        loss_minus=numbers,
    ),
    st.builds(
        EvaluationRecord,
        event=st.just("evaluation"),
        task=counts,
        loss=numbers,
        positions=counts,
        predictions=st.lists(counts, max_size=3).map(tuple),
        wall_ns=counts,
        cpu_ns=counts,
    ),
    st.builds(
        MemoryRecord,
        event=st.just("memory"),
        task=counts,
        vm_hwm_bytes=counts,
        rss_anon_bytes=counts,
        rss_file_bytes=counts,
    ),
)
END = EndRecord(event="end", status="ok", tasks_done=1)


def as_text(records: list[Record]) -> str:
    return "".join(record.model_dump_json() + "\n" for record in records)


@given(jobs)
def test_a_job_survives_its_file(job: Job) -> None:
    assert Job.model_validate_json(job.model_dump_json()) == job


@given(st.lists(middle_records, max_size=4))
def test_records_survive_their_lines(records: list[Record]) -> None:
    assert parse_records(as_text([*records, END]), device="local") == [*records, END]


def test_a_stream_cut_anywhere_is_no_result() -> None:
    text = as_text(whole_run())

    for length in range(len(text) - 1):
        with pytest.raises(IncompleteRunError, match="phone"):
            parse_records(text[:length], device="phone")


@given(st.text(max_size=200))
def test_noise_is_no_result(noise: str) -> None:
    with pytest.raises((IncompleteRunError, RunnerFailedError)):
        parse_records(noise, device="phone")


def test_the_runners_own_error_is_carried() -> None:
    error = ErrorRecord(event="error", phase="adapter", message="not for it", file="/a.gguf")
    end = EndRecord(event="end", status="error", tasks_done=0)

    with pytest.raises(RunnerFailedError, match="not for it") as caught:
        parse_records(as_text([error, end]), device="phone")

    assert caught.value.phase == "adapter"
    assert str(caught.value.file) == "/a.gguf"


@pytest.mark.parametrize("field", ["slope", "loss_plus"])
def test_a_number_that_json_cannot_write_is_told_as_such(field: str) -> None:
    """Not-a-numbers arrive as null."""
    probe = {
        "event": "probe",
        "task": 0,
        "direction": 1,
        "slope": 0.5,
        "loss_plus": 6.0,
        "loss_minus": 6.0,
    }
    text = json.dumps({**probe, field: None}) + "\n" + END.model_dump_json() + "\n"

    with pytest.raises(NotFiniteError, match="not finite"):
        parse_records(text, device="phone")

    with pytest.raises(IncompleteRunError, match="not a record"):
        parse_records(json.dumps({**probe, field: "0.5 or so"}) + "\n", device="phone")
