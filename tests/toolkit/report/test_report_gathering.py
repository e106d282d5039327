"""What a report finds at its paths, and how it puts what is of one device together."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from made_reports import make_allocation, make_profile, make_run, make_samples, make_telemetry

from android_harness.errors import IncompleteRunError
from device_bench.errors import SamplesError
from device_bench.fitting.fit_profile import fit_profile
from device_bench.profiles.join_profiles import join_profiles
from device_bench.profiles.profile_files import write_profiles
from toolkit.report.device.section import device_section
from toolkit.report.gather import ReportError, gather

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_samples(tmp_path_factory.mktemp("made") / "samples")


def test_a_folder_stands_for_what_lies_in_it(tmp_path: Path, samples: Path) -> None:
    first, second = make_profile("adb:one"), make_profile("adb:two", 2.0)
    first.write(tmp_path / "one.json")
    second.write(tmp_path / "two.json")
    write_profiles(tmp_path / "fleet.jsonl", [make_profile("adb:three"), make_profile("adb:four")])
    make_allocation(first, second).write(tmp_path / "plan.json")
    make_run(tmp_path / "run", rounds=2)
    (tmp_path / "notes.json").write_text("[]")
    (tmp_path / "samples").symlink_to(samples)

    found = gather([tmp_path])

    names = ["adb:three", "adb:four", "adb:one", "adb:two"]
    assert [profile.target for profile in found.profiles] == names
    assert len(found.samples) == len(found.allocations) == len(found.runs) == 1
    assert not found.bundles


def test_a_folder_of_devices_stands_for_the_samples_of_each(tmp_path: Path, samples: Path) -> None:
    for name in ("one/q8", "one/f32", "two/q8"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(samples)

    found = gather([tmp_path])

    assert [each.folder.relative_to(tmp_path).as_posix() for each in found.samples] == [
        "one/f32",
        "one/q8",
        "two/q8",
    ]


@pytest.mark.parametrize("content", [None, "", "[]", "{", '{"schema_version": 1}'])
def test_what_is_nothing_of_ours_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "thing.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ReportError) as refused:
        gather([path])
    assert refused.value.file == path and refused.value.remedy


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError):
        gather([tmp_path])


def test_samples_join_the_profile_that_was_fitted_to_them(tmp_path: Path, samples: Path) -> None:
    fitted = fit_profile(samples, now=NOW)
    fitted.write(tmp_path / "fitted.json")
    make_profile("adb:other").write(tmp_path / "other.json")

    devices = gather([tmp_path / "other.json", samples, tmp_path / "fitted.json"]).devices(NOW)

    assert [(device.target, bool(device.samples)) for device in devices] == [
        ("adb:other", False),
        ("adb:FAKE", True),
    ]


def test_a_joined_profile_has_the_samples_of_each_backend(tmp_path: Path, samples: Path) -> None:
    vulkan, older = tmp_path / "vulkan", tmp_path / "older"
    for copy in (vulkan, older):
        shutil.copytree(samples, copy)
    of_gpu = (samples / "samples.jsonl").read_text().replace('"ggml-cpu"', '"ggml-vulkan"')
    (vulkan / "samples.jsonl").write_text(of_gpu)
    joined = join_profiles([fit_profile(folder, now=NOW) for folder in (samples, vulkan)])
    joined.write(tmp_path / "joined.json")

    paths = [tmp_path / "joined.json", samples, older, vulkan]
    device, other = gather(paths).devices(NOW)
    section = device_section(device, "device-1", NOW)

    assert [each.folder for each in device.samples] == [samples, vulkan]
    assert [each.folder for each in other.samples] == [older]
    titles = [part.title for part in section.parts]
    assert {"Conditions (measured) of samples", "Conditions (measured) of vulkan"} <= set(titles)
    assert sum(title.startswith("Latency") for title in titles) == len(joined.backends)
    anchors = [part.anchor for part in section.parts]
    assert len(set(anchors)) == len(anchors)


def test_samples_alone_are_fitted(samples: Path) -> None:
    (device,) = gather([samples]).devices(NOW)
    assert device.profile == fit_profile(samples, now=NOW)


def test_a_sweep_without_a_finished_job_is_a_device_without_a_profile(tmp_path: Path) -> None:
    with pytest.raises(IncompleteRunError):
        make_samples(tmp_path / "samples", drop_out_at=0)

    (device,) = gather([tmp_path / "samples"]).devices(NOW)

    (own,) = device.samples
    assert device.profile is None and own.measurements == []


def test_damaged_samples_are_an_error(tmp_path: Path, samples: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "sweep.json").write_bytes((samples / "sweep.json").read_bytes())
    (damaged / "samples.jsonl").write_text("{}\n")
    with pytest.raises(SamplesError):
        gather([damaged]).devices(NOW)


def test_telemetry_and_settings_are_absent_until_they_are_there(tmp_path: Path) -> None:
    folder = make_samples(tmp_path / "samples")
    (before,) = gather([folder]).samples
    assert before.trace is None and before.settings is None
    make_telemetry(folder)
    (after,) = gather([folder]).samples
    assert after.trace is not None and after.trace.of("temperature_celsius").keys() == {
        "skin",
        "cpu-0-0",
    }
