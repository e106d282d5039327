"""What a report says of how far a device's numbers can be trusted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from made_profiles import arm, interval, numerics, profile
from made_reports import (
    make_long_run,
    make_profile,
    make_samples,
    make_telemetry,
    make_timeline,
)

from device_bench.numerics.contract import NumericEvidence
from device_bench.numerics.measure import NUMERICS_NAME
from device_bench.policies.row_findings import POLICIES
from device_bench.profiles.profile import BackendProfile, Profile, RowFinding
from device_bench.samples.samples_folder import SAMPLES_NAME, read_measurements
from tests.device_bench.fake_timing_runner import SLOWER
from toolkit.report.content import Section, Table, text_of
from toolkit.report.device.section import device_section
from toolkit.report.fleet_section import fleet_section
from toolkit.report.gather import Device, gather

NOW = datetime.now(UTC)
NUMBERS = "Numbers before time (measured)"
CONDITIONS = "Conditions (measured)"
SUSTAINED = "Sustained (measured)"


def of_profile(made: Profile) -> Section:
    return device_section(Device(made.target, made.device, made, ()), "device-x", NOW)


def of_samples(folder: Path) -> Section:
    (device,) = gather([folder]).devices(NOW)
    return device_section(device, "device-x", NOW)


def part(section: Section, title: str) -> Section:
    (found,) = [each for each in section.parts if each.title == title]
    return found


def column(table: Table, header: str) -> list[str]:
    place = [each.header for each in table.columns].index(header)
    return [text_of(row[place]) for row in table.rows]


def facts_of(section: Section) -> dict[str, str]:
    return {name: text_of(value) for name, value in section.facts}


def changed(made: Profile, **changes: object) -> Profile:
    """The profile with other fields in its one backend."""
    (backend,) = made.backends
    fields = {name: getattr(backend, name) for name in BackendProfile.model_fields} | changes
    return made.model_copy(update={"backends": (BackendProfile.model_validate(fields),)})


@pytest.fixture(scope="module")
def hot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples of a device that is hot from the middle of its sweep on, and of its long run."""
    folder = make_samples(tmp_path_factory.mktemp("hot") / "samples")
    make_long_run(make_timeline(folder))
    make_telemetry(folder, seconds=1200)
    return folder


# Numbers before time.


def test_estimators_are_usable_or_noise() -> None:
    made = profile("adb:x", numerics=numerics(central=-0.01, tangent=None))
    found = part(of_profile(made), NUMBERS)
    (table,) = found.tables
    assert column(table, "estimator") == ["central", "tangent"]
    assert column(table, "for training") == ["noise", "usable"]
    assert column(table, "ε") == ["0.01", ""]
    assert facts_of(found)["usable for training"] == "tangent"
    assert facts_of(found)["loss as exported"] == "yes"


def test_a_backend_that_computes_nothing_says_what_it_said() -> None:
    failed = numerics().model_copy(
        update={"failure": "no finite loss", "loss": None, "loss_as_exported": False}
    )
    found = part(of_profile(profile("adb:x", numerics=failed)), NUMBERS)
    assert facts_of(found)["the backend said"] == "no finite loss"
    assert facts_of(found)["loss as exported"] == "no" and not found.tables


def test_a_profile_of_before_the_gate_says_so() -> None:
    found = part(of_profile(make_profile("adb:x")), NUMBERS)
    assert facts_of(found) == {"numeric gate": "measured before there was a numeric gate"}


def test_the_calibration_is_v_shaped_and_its_step_is_in_the_valley(hot: Path) -> None:
    (plot,) = part(of_samples(hot), NUMBERS).plots
    for estimator in ("central", "forward"):
        rows = [row for row in plot.data.rows if row[0] == estimator]
        steps = [float(text_of(row[1])) for row in rows]
        seen = [float(text_of(row[2])) for row in rows]
        (chosen,) = [place for place, row in enumerate(rows) if text_of(row[3]) != "looked at"]
        assert steps == sorted(steps)
        assert seen[0] > 2 * min(seen) and seen[-1] > 2 * min(seen)
        assert seen[chosen] < 4 * min(seen)


def test_without_a_difference_nothing_is_calibrated(hot: Path, tmp_path: Path) -> None:
    evidence = NumericEvidence.read(hot / NUMERICS_NAME)
    for name in ("sweep.json", SAMPLES_NAME):
        (tmp_path / name).write_bytes((hot / name).read_bytes())
    tangents = tuple(each for each in evidence.measured if each.estimator == "tangent")
    evidence.model_copy(update={"measured": tangents, "steps": ()}).write(tmp_path / NUMERICS_NAME)
    found = part(of_samples(tmp_path), NUMBERS)
    assert found.plots == [] and facts_of(found)["usable for training"] == "tangent"


# Validity of rows.


def test_what_policies_found_of_jobs_is_summed_up_by_reason() -> None:
    policy = POLICIES[0]
    few = RowFinding(reason=policy.reason, jobs=1, of=9, worst="mild")
    many = RowFinding(reason=policy.reason, jobs=5, of=9, worst="bad")
    arms = (
        arm(1, 2.0).model_copy(update={"findings": (few,)}),
        arm(8, 1.0).model_copy(update={"findings": (many,), "reasons": (policy.reason,)}),
    )
    section = of_profile(profile("adb:x", arms=arms, verdict="suspect", reasons=(policy.reason,)))

    validity = part(section, "Validity")
    (table,) = validity.tables
    assert [tuple(map(text_of, row)) for row in table.rows] == [
        (policy.reason, "6", "2", "central B4 T32 K8", "bad", "central B4 T32 K8")
    ]
    assert validity.findings[0].words == f"{policy.reason}: {policy.meaning}"
    (arms_table,) = part(section, "Arms").tables
    assert column(arms_table, "suspect because") == ["", policy.reason]


# Conditions.


def test_jobs_are_on_the_clock_of_the_device_with_what_was_found_of_them(hot: Path) -> None:
    conditions = part(of_samples(hot), CONDITIONS)
    jobs, telemetry = conditions.plots
    begins = [float(minute) for minute in column(jobs.data, "begins, min")]
    flags = column(jobs.data, "flagged because")
    assert begins == sorted(begins)
    assert not any(flag for begin, flag in zip(begins, flags, strict=True) if begin < 2.3)
    assert all(flag for begin, flag in zip(begins, flags, strict=True) if begin > 2.6)
    assert "thermal status 2" in flags[-1] and "pace-fell" in flags[-1]
    assert {float(pace) for pace in column(jobs.data, "pace after")} == {1.01, 1.35}
    assert "thermal status from 0 to 2 of 6" in telemetry.shows
    assert "the long run" in telemetry.legend


def test_the_gate_says_how_long_jobs_waited_and_which_gave_up(hot: Path) -> None:
    facts = facts_of(part(of_samples(hot), CONDITIONS))
    assert facts["cooldown gate, jobs by outcome"].endswith("1 timed out")
    hot_jobs = sum(job.pace_before_ns > 1_000_000 for job in read_measurements(hot / SAMPLES_NAME))
    assert facts["waited for cooling"] == f"{12 * hot_jobs} s in all, 12 s at most"


def test_without_telemetry_jobs_alone_are_drawn(tmp_path: Path) -> None:
    section = of_samples(make_timeline(make_samples(tmp_path / "samples")))
    conditions = part(section, CONDITIONS)
    assert facts_of(conditions)["telemetry"] == "no telemetry was recorded"
    assert [plot.title for plot in conditions.plots] == ["Jobs over time"]


def test_telemetry_is_drawn_with_its_ranges(tmp_path: Path) -> None:
    folder = make_timeline(make_samples(tmp_path / "samples"))
    make_telemetry(folder)
    section = of_samples(folder)
    _, plot = part(section, CONDITIONS).plots
    assert "frequency from 1.2 to 1.8 GHz" in plot.shows
    assert column(plot.data, "channel")[0] == "frequency_hertz.policy0"
    assert column(plot.data, "readings") == ["150"] * 5
    reasons = [value for name, value in part(section, "Energy").facts if name == "unknown because"]
    assert reasons == ["no idle baseline was measured"]


def test_times_of_two_boots_are_not_drawn_over_each_other(tmp_path: Path) -> None:
    folder = make_timeline(make_samples(tmp_path / "samples"))
    make_telemetry(folder, boots=("one", "two"))
    conditions = part(of_samples(folder), CONDITIONS)
    assert not conditions.plots and len(conditions.tables) == 1
    assert "rebooted" in facts_of(conditions)["not drawn"]


def test_jobs_whose_clock_went_back_are_not_drawn_over_each_other(tmp_path: Path) -> None:
    conditions = part(of_samples(make_samples(tmp_path / "samples")), CONDITIONS)
    assert not conditions.plots
    assert "rebooted" in facts_of(conditions)["not drawn"]


# Sustained.


def test_the_long_run_shows_its_course_beside_the_burst(hot: Path) -> None:
    sustained = part(of_samples(hot), SUSTAINED)
    (plot,) = sustained.plots
    times = [float(ratio) for ratio in column(plot.data, "times the burst")]
    assert np.median(times[: len(times) // 4]) == pytest.approx(1, abs=0.05)
    assert times[-1] == pytest.approx(1.4, abs=0.07)
    facts = facts_of(sustained)
    assert float(facts["sustained factor"].split()[0]) == pytest.approx(1.4, abs=0.07)
    assert facts["ran for"] == "12.0 min" and facts["flattened"] == "yes"
    assert float(facts["slower from"].split()[0]) == pytest.approx(4, abs=0.5)
    assert sustained.findings == []


def test_a_long_run_that_is_too_short_says_so(tmp_path: Path) -> None:
    folder = make_long_run(make_timeline(make_samples(tmp_path / "samples")), minutes=3)
    sustained = part(of_samples(folder), SUSTAINED)
    assert [finding.words.split(":")[0] for finding in sustained.findings] == [
        "sustained-run-too-short"
    ]


def test_without_a_long_run_it_is_told_how_to_measure_one() -> None:
    assert (
        "--sustained-minutes" in facts_of(part(of_profile(profile("adb:x")), SUSTAINED))["long run"]
    )
    modelled = profile("adb:x", sustained=interval(1.3))
    assert "1.30 is modelled" in facts_of(part(of_profile(modelled), SUSTAINED))["long run"]


# Placements and starts.


def test_placements_are_compared_where_there_are_several(tmp_path: Path) -> None:
    folder = make_samples(tmp_path / "samples", placements=[(1, "0x1"), (4, None)])
    section = of_samples(folder)
    (plot,) = part(section, "Threads and cores").plots
    assert set(column(plot.data, "placement")) == {"1 thread on cores 0x1", "4 threads on any core"}
    assert column(plot.data, "relative seconds")[0] == "1.000"
    distributions, course = part(section, "Latency (measured)").plots
    assert len(distributions.data.rows) == 24 and len(course.data.rows) == 288
    assert not [
        each for each in of_profile(profile("adb:x")).parts if each.title == "Threads and cores"
    ]


def test_load_first_and_steady_are_three_numbers(hot: Path) -> None:
    start = part(of_samples(hot), "Load, first and steady (measured)")
    assert facts_of(start)["loading the model"].startswith("0.005 s (0.005 to 0.005)")
    (plot,) = start.plots
    names = ("steady", "first")
    steady, first = ([float(text) for text in column(plot.data, name)] for name in names)
    assert first == pytest.approx([SLOWER["first"] * seconds for seconds in steady], rel=0.1)


# Models.


def test_memory_is_shown_beside_its_model() -> None:
    section = of_profile(make_profile("adb:x"))
    memory = part(section, "Memory")
    (plot,) = memory.plots
    assert column(plot.data, "peak MB (measured)") == ["104.9", "209.7", "104.9"]
    assert column(plot.data, "peak MB (modelled)") == ["104.9", "209.7", ""]
    assert "B a column" in facts_of(memory)["memory of differences (modelled)"]


def test_terms_that_the_arms_do_not_tell_apart_are_named() -> None:
    made = make_profile("adb:x")
    cost = made.backends[0].cost.model_copy(update={"undetermined": ("fixed_s",)})
    (differences, _) = part(of_profile(changed(made, cost=cost)), "Cost model").tables
    assert column(differences, "term") == ["fixed", "weights", "products", "attention", "LoRA"]
    assert column(differences, "told apart") == ["no", "yes", "yes", "yes", "yes"]
    assert column(differences, "part of central B4 T32 K1, %") == [
        "50.0", "0.0", "50.0", "0.0", "0.0",
    ]  # fmt: skip


# The fleet.


def test_the_fleet_tells_what_lasts_and_what_is_noise(hot: Path) -> None:
    noisy = profile(
        "adb:noisy",
        numerics=numerics(central=-0.01, tangent=None),
        sustained=interval(1.3),
    )
    (measured,) = gather([hot]).devices(NOW)
    devices = [("a", Device("adb:noisy", noisy.device, noisy, ())), ("b", measured)]
    table, *_ = fleet_section(devices, NOW).tables
    assert column(table, "usable estimators") == ["tangent", "central, forward, tangent"]
    modelled, told = column(table, "sustained factor")
    assert modelled == "1.30 (modelled)" and told.endswith("(measured)")


def test_an_estimator_of_noise_is_not_the_best() -> None:
    arms = (arm(1, 1.0), arm(8, 5.0, estimator="tangent"))
    noisy = profile("adb:x", arms=arms, numerics=numerics(central=-0.01, tangent=None))
    table, *_ = fleet_section([("a", Device("adb:x", noisy.device, noisy, ()))], NOW).tables
    assert column(table, "best estimator") == ["tangent B4 T32 K8"]


def test_a_backend_of_noise_alone_has_an_estimator_all_the_same() -> None:
    made = profile("adb:x", numerics=numerics(central=-0.01))
    table, *_ = fleet_section([("a", Device("adb:x", made.device, made, ()))], NOW).tables
    assert column(table, "best estimator") == ["central B4 T32 K1"]
    assert column(table, "usable estimators") == ["none"]
