"""What a report says: of devices, fleets, allocations and runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from made_profiles import arm
from made_reports import make_allocation, make_profile, make_run, make_samples

from android_harness.state.held_settings import SETTINGS_NAME, HeldSetting, HeldSettings
from device_bench.fitting.verdict import RULES
from toolkit.report.allocation_section import allocation_section
from toolkit.report.build import MOST_DETAILED_DEVICES, MOST_DEVICES_WITH_SECTIONS, build_report
from toolkit.report.content import Section, Table, text_of
from toolkit.report.device.section import device_section
from toolkit.report.gather import Device, gather
from toolkit.report.run_section import run_section
from toolkit.training.run_folder import RunFolder

NOW = datetime.now(UTC)


def section_of(profile, now: datetime = NOW) -> Section:
    device = Device(profile.target, profile.device, profile, ())
    return device_section(device, "device-x", now)


def part(section: Section, title: str) -> Section:
    (found,) = [each for each in section.parts if each.title == title]
    return found


def column(table: Table, header: str) -> list[str]:
    place = [each.header for each in table.columns].index(header)
    return [text_of(row[place]) for row in table.rows]


def everything(sections: tuple[Section, ...] | list[Section]) -> Iterator[Section]:
    for section in sections:
        yield section
        yield from everything(section.parts)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_samples(tmp_path_factory.mktemp("made") / "samples")


def test_every_arm_says_which_layers_move_and_what_the_models_say() -> None:
    (arms,) = part(section_of(make_profile("adb:x", 1.0)), "Arms").tables

    assert column(arms, "layers") == ["all", "all", "4-5"]
    assert column(arms, "s per probe (measured)") == ["2", "1", "0.333"]
    assert column(arms, "s per probe (modelled)") == ["1", "0.625", ""]
    assert column(arms, "J per probe (measured)") == ["3", "unknown", "unknown"]


def test_estimators_stand_beside_their_errors() -> None:
    section = section_of(make_profile("adb:x", 1.0))
    (estimators,) = part(section, "Estimators").tables
    assert [tuple(row) for row in estimators.rows] == [
        ("central", "1", "2", "0.2", "2.08"),
        ("tangent", "8", "1", "0.02", "1"),
    ]
    facts = dict(part(section, "Validity").facts)
    assert facts["slope error of central (measured)"] == "0.2 over 8 directions at epsilon 0.01"


def test_a_profile_of_some_layers_alone_has_no_models_and_no_estimators_to_compare() -> None:
    arms = (arm(8, 0.3, estimator="tangent", layers=(4, 5)),)
    section = section_of(make_profile("adb:x", arms=arms, tangents=None, differences=False))
    titles = {each.title for each in section.parts}
    assert not titles & {"Estimators", "Cost model"} and "Arms" in titles


def test_a_backend_without_arms_has_a_verdict_and_no_more() -> None:
    made = make_profile("adb:x", verdict="invalid")
    bare = made.backends[0].model_copy(update={"arms": ()})
    section = section_of(made.model_copy(update={"backends": (bare,)}))
    titles = [each.title for each in section.parts]
    assert titles == ["Validity", "Numbers before time (measured)"]


def test_residuals_are_how_far_the_measured_lie_above_the_modelled() -> None:
    differences, tangents = part(section_of(make_profile("adb:x", 1.0)), "Cost model").plots
    # Of the shape that counts a token as a FLOP.
    assert column(differences.data, "GFLOP per probe") == ["2.56e-07"]
    assert column(differences.data, "residual %") == ["+100.0"]
    assert column(tangents.data, "GFLOP per probe") == ["1.44e-07"]
    assert column(tangents.data, "residual %") == ["+60.0"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.reason)
def test_every_reason_comes_with_words_and_a_remedy(rule) -> None:
    made = make_profile("adb:x", verdict=rule.verdict, reasons=(rule.reason,))
    (finding,) = part(section_of(made), "Validity").findings
    assert finding.standing == rule.verdict
    assert finding.words.startswith(f"{rule.reason}: ") and finding.remedy


def test_a_reason_of_another_version_is_shown_as_it_is() -> None:
    made = make_profile("adb:x", verdict="invalid", reasons=("moon-phase",))
    (finding,) = part(section_of(made), "Validity").findings
    assert finding.words == "moon-phase"


def test_what_was_valid_expires_and_says_so() -> None:
    made = make_profile("adb:x")
    later = made.expires_at + timedelta(seconds=1)
    assert dict(section_of(made).facts)["verdict on ggml-cpu"].text == "valid"
    expired = section_of(made, now=later)
    assert dict(expired.facts)["verdict on ggml-cpu"].text == "expired"
    assert [finding.standing for finding in part(expired, "Validity").findings] == ["expired"]


def test_samples_show_every_repetition(samples: Path) -> None:
    (device,) = gather([samples]).devices(NOW)
    section = device_section(device, "device-x", NOW)
    distributions, course = part(section, "Latency (measured)").plots
    assert set(column(distributions.data, "jobs")) == {"6"}
    assert set(column(distributions.data, "n")) == {"18"}
    assert len(distributions.data.rows) == 24 and len(course.data.rows) == 144
    medians = [float(text) for text in column(distributions.data, "median")]
    lows = [float(text) for text in column(distributions.data, "CI low")]
    highs = [float(text) for text in column(distributions.data, "CI high")]
    assert all(low <= mid <= high for low, mid, high in zip(lows, medians, highs, strict=True))


def test_settings_say_what_they_were_and_why_one_is_not_held(tmp_path: Path) -> None:
    folder = make_samples(tmp_path / "samples")
    held = HeldSettings(
        serial="FAKE",
        target="adb:FAKE",
        settings=(
            HeldSetting(setting="brightness", before="102", wanted="1", during="1", status="set"),
            HeldSetting(
                setting="airplane",
                before=None,
                wanted="on",
                during=None,
                status="unsupported",
                why="the shell may not",
            ),
        ),
    )
    held.write(folder / SETTINGS_NAME)
    (device,) = gather([folder]).devices(NOW)
    (table,) = part(device_section(device, "device-x", NOW), "Settings").tables
    assert [tuple(row) for row in table.rows] == [
        ("brightness", "102", "1", "set"),
        ("airplane", "unknown", "unknown", "unsupported: the shell may not"),
    ]


def test_the_fleet_has_a_row_for_each_device_that_links_to_it(tmp_path: Path) -> None:
    for number, verdict in enumerate(("valid", "suspect", "invalid")):
        made = make_profile(f"adb:{number}", 1.0 + number, verdict=verdict)
        made.write(tmp_path / f"{number}.json")
    report = build_report([tmp_path], now=NOW)
    fleet = report.sections[0]
    table = fleet.tables[0]
    anchors = {section.anchor for section in everything(report.sections)}
    assert {row[0].link for row in table.rows} <= anchors
    assert column(table, "verdict") == ["valid", "suspect", "invalid"]
    assert column(table, "best estimator") == ["tangent B4 T32 K8"] * 3
    assert column(table, "s per exact slope (modelled)") == ["1", "2", "3"]
    assert dict(fleet.facts) == {"devices": "3", "valid": "1", "suspect": "1", "invalid": "1"}


def test_anchors_are_unique_whatever_the_devices_are_called(tmp_path: Path) -> None:
    for number, target in enumerate(("adb:a", "adb:A", "adb:a-2", "adb:a-2", "adb:a-latency", "…")):
        make_profile(target).write(tmp_path / f"{number}.json")
    sections = list(everything(build_report([tmp_path], now=NOW).sections))
    anchors = [section.anchor for section in sections]
    assert len(anchors) == len(set(anchors))
    assert "device-adb-a" in anchors and "device-adb-a__2" in anchors


def test_a_large_fleet_is_reported_in_brief(tmp_path: Path) -> None:
    for number in range(MOST_DETAILED_DEVICES + 1):
        made = make_profile(f"adb:{number}", verdict="suspect", reasons=("incomplete-sweep",))
        made.write(tmp_path / f"{number}.json")
    report = build_report([tmp_path], now=NOW)
    (devices,) = [section for section in report.sections if section.title == "Devices"]
    assert "plots and arms" in dict(devices.facts)
    for section in devices.parts:
        assert section.folded and part(section, "Validity").findings
        assert not any(each.plots or each.tables for each in everything([section]))


def test_a_fleet_of_thousands_is_a_table_and_its_reasons(tmp_path: Path) -> None:
    made = make_profile("adb:x", verdict="suspect", reasons=("incomplete-sweep",))
    lines = (
        made.model_copy(update={"target": f"adb:{number}"}).model_dump_json()
        for number in range(MOST_DEVICES_WITH_SECTIONS + 1)
    )
    (tmp_path / "fleet.jsonl").write_text("".join(line + "\n" for line in lines))

    (fleet,) = build_report([tmp_path], now=NOW).sections

    rows, reasons = fleet.tables
    assert len(rows.rows) == MOST_DEVICES_WITH_SECTIONS + 1
    assert not any(row[0].link for row in rows.rows)
    assert column(reasons, "reason") == ["incomplete-sweep"]
    assert column(reasons, "devices by backend") == [str(MOST_DEVICES_WITH_SECTIONS + 1)]
    assert column(reasons, "what helps")[0]


def test_the_plan_shows_when_each_device_is_done() -> None:
    profiles = [make_profile("adb:fast"), make_profile("adb:slow", 3.0)]
    section = allocation_section(make_allocation(*profiles), "allocation-1")
    (plot,) = section.plots
    assert set(column(plot.data, "target")) == {"adb:fast", "adb:slow"}
    ends = zip(*(map(float, column(plot.data, each)) for each in ("80 % from", "80 % to")),
               strict=True)  # fmt: skip
    assert all(start <= end for start, end in ends)
    assert column(plot.data, "fixed s") == ["0.5", "0.5"]
    assert "Makespan" in plot.shows and "lower bound" in plot.shows


def test_a_run_of_a_thousand_rounds_is_thinned_to_a_hundred(tmp_path: Path) -> None:
    section = run_section(RunFolder(make_run(tmp_path / "run", rounds=1000)), "run-1")
    (plot,) = section.plots
    assert len(plot.data.rows) == 100
    assert column(plot.data, "round")[0] == "0" and column(plot.data, "round")[-1] == "1000"
    assert dict(section.facts)["held-out loss (measured)"].startswith("2.0000 to 1.0000")


def test_a_run_without_a_round_has_no_plot(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", rounds=3)
    (folder / "rounds.jsonl").write_text("")
    assert run_section(RunFolder(folder), "run-1").plots == []
