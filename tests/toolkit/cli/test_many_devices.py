"""`fwdllm bench` and `push` over several devices: side by side, and each fails alone."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from android_harness.errors import DeviceGoneError
from android_harness.facts.identity import DeviceIdentity
from android_harness.fake_phone import FakePhone
from android_harness.fleet.events import (
    DeviceBack,
    DeviceLost,
    DeviceReady,
    DeviceSetAside,
    TaskDone,
    TaskFailed,
    TaskProgress,
    TaskStarted,
    TaskUndone,
)
from device_bench.samples.provenance import Sweep
from device_bench.samples.samples_folder import read_measurements
from exporters.gguf.export import export_gguf
from exporters.lora.request import LoraRequest
from exporters.manifest import Bundle
from tests.android_harness.waiting import ends_soon
from tests.exporters.models import random_llama
from toolkit.cli.app import app
from toolkit.cli.fleet_display import JOBS, FleetDisplay

SWEEP = ("--batch", "1", "--tokens", "4,8", "--directions", "1", "--estimator", "tangent")
SWEEP += (
    "--blocks",
    "5",
    "--most-blocks",
    "5",
    "--warmup-seconds",
    "0",
    "--repetitions",
    "1",
    "--minimum-ms",
    "0",
)
JOBS_OF_SWEEP = 10


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundle")
    return export_gguf(
        str(random_llama(folder / "model")),
        folder / "bundle",
        quantization="f32",
        lora=LoraRequest(rank=2),
    )


@pytest.fixture
def phones() -> Iterator[list[FakePhone]]:
    with FakePhone() as first, FakePhone() as second:
        yield [first, second]


def absent() -> str:
    """A target that there is not: the address of a phone that is switched off."""
    with FakePhone() as phone:
        return phone.target


def invoke(command: str, bundle: Bundle, targets: list[str], *options: object) -> Any:
    named = [word for target in targets for word in ("--target", target)]
    arguments = [command, str(bundle.folder), *named, *map(str, options)]
    return CliRunner().invoke(app, arguments)


@pytest.mark.usefixtures("runner_binary")
def test_devices_that_finish_are_kept_and_the_rest_follows_later(
    bundle: Bundle, phones: list[FakePhone], tmp_path: Path
) -> None:
    """One phone loses its link in the middle of its sweep, and stays away."""
    steady, flaky = phones
    out = tmp_path / "samples"
    folders = {phone.target: out / phone.target.replace(":", "-") for phone in phones}
    leaver = threading.Thread(target=leave_after, args=(flaky, folders[flaky.target]))
    leaver.start()

    first = invoke("bench", bundle, list(folders), "--out", out, *SWEEP, "--patience", 0, "--json")
    leaver.join()

    assert first.exit_code == 1
    rows = {row["target"]: row for row in json.loads(first.stdout)}
    assert rows[steady.target]["finished"] and rows[steady.target]["jobs"] == JOBS_OF_SWEEP
    assert not rows[flaky.target]["finished"] and rows[flaky.target]["remedy"]
    assert 1 <= rows[flaky.target]["jobs"] < JOBS_OF_SWEEP

    with FakePhone(port=flaky.port):
        second = invoke("bench", bundle, list(folders), "--out", out, *SWEEP)

    assert second.exit_code == 0, second.output
    for folder in folders.values():
        sweep = Sweep.read(folder / "sweep.json")
        slots = tuple(each.slot for each in read_measurements(folder / "samples.jsonl"))
        assert sweep.finished_at is not None and slots == sweep.order


def leave_after(phone: FakePhone, folder: Path) -> None:
    """Switches the phone off once its first job is written down."""
    end = time.monotonic() + 60
    while not read_measurements(folder / "samples.jsonl") and time.monotonic() < end:
        time.sleep(0.005)
    phone.switch_off()


@pytest.mark.usefixtures("runner_binary")
def test_a_summary_names_every_device_and_what_to_do(bundle: Bundle, tmp_path: Path) -> None:
    gone = absent()
    result = invoke("bench", bundle, ["local", gone], "--out", tmp_path / "samples", *SWEEP)

    assert result.exit_code == 1
    assert isinstance(result.exception, DeviceGoneError) and gone in str(result.exception)
    assert f"{JOBS_OF_SWEEP}/{JOBS_OF_SWEEP}" in result.stdout
    assert "0/?" in result.stdout  # how many there are depends on the device
    assert "check the" in result.stdout  # the remedy's first words, wherever its lines break


@pytest.mark.usefixtures("runner_binary")
def test_a_push_reaches_all_that_are_there(bundle: Bundle, phones: list[FakePhone]) -> None:
    targets = [phone.target for phone in phones]
    result = invoke("push", bundle, [targets[0], absent(), targets[1]], "--json")

    assert result.exit_code == 1
    assert [row["target"] for row in json.loads(result.stdout)] == targets
    assert all(phone.traffic.pushed_bytes > 0 for phone in phones)


@pytest.mark.usefixtures("runner_binary")
def test_ctrl_c_stops_the_runs_on_the_phones(bundle: Bundle, phones: list[FakePhone]) -> None:
    """Two pushes and a repetition of a minute are under way, or soon would be."""
    targets = [word for phone in phones for word in ("--target", phone.target)]
    options = [*targets, "--out", str(bundle.folder / "samples"), *SWEEP, "--minimum-ms", "60000"]
    command = [sys.executable, "-c", "from toolkit.cli.app import main; main()", "bench"]
    run = subprocess.Popen([*command, str(bundle.folder), *options], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not any(phone.running_processes() for phone in phones) and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(1)

    run.send_signal(signal.SIGINT)

    assert run.wait(30) != 0
    assert all(ends_soon(process) for phone in phones for process in phone.running_processes())
    runs = [phone.root.resolve("/data/local/tmp/fwdllm/runs") for phone in phones]
    assert not [left for folder in runs if folder.exists() for left in folder.iterdir()]


def test_the_display_says_where_each_device_is() -> None:
    display = FleetDisplay(["a", "b"])
    error = DeviceGoneError("no route", device="a")

    def jobs(done: int, left_s: tuple[float, float] | None = None) -> TaskProgress:
        return TaskProgress("a", "t", JOBS, done, 9, f"arm {done}", None, left_s)

    story = [
        (DeviceReady("a", DeviceIdentity("S1", None)), "a: answers"),
        (TaskStarted("a", "t"), None),
        (TaskProgress("a", "t", "base.gguf", 10, 90, "pushing base.gguf"), "a: pushing base.gguf"),
        (TaskProgress("a", "t", "base.gguf", 50, 90, "pushing base.gguf"), None),
        (jobs(3), "a: 3/9 jobs: arm 3"),
        (jobs(3), None),
        (jobs(4, (65, 65)), "a: 4/9 jobs: arm 4 (1:05 left)"),
        (jobs(5, (50.2, 3661.2)), "a: 5/9 jobs: arm 5 (0:50 to 1:01:01 left)"),
        (TaskFailed("a", "t", error), "a: failed, is tried again: no route"),
        (DeviceLost("a", error), "a: lost, is looked for: no route"),
        (DeviceBack("a", 12.3), "a: is back after 12 s"),
        (DeviceSetAside("b", ValueError("odd")), "b: set aside: ValueError('odd')"),
        (TaskUndone("b", "t", ValueError("odd")), None),
        (TaskDone("a", "t", None), "a: done"),
    ]
    assert [display(event) for event, _ in story] == [line for _, line in story]

    states = dict(zip(*(list(column.cells) for column in display.table().columns[:2]), strict=True))
    assert states == {"a": "done", "b": "set aside"}
