"""The poller of a host that was killed ends when the next one of that machine begins."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from android_harness.fake_phone import FakePhone
from android_harness.targets.open_target import open_target
from android_harness.telemetry.poller import Poller, PollerSettings
from tests.android_harness.waiting import PATIENT, ends_soon

pytestmark = pytest.mark.usefixtures("private_home")

START = """
import sys, time
from android_harness.targets.open_target import open_target
from android_harness.telemetry.poller import Poller, PollerSettings
with open_target(sys.argv[1]) as target:
    Poller(target, PollerSettings()).start()
    print("on", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def host(phone: FakePhone) -> Iterator[subprocess.Popen[bytes]]:
    """Another process of this machine that records the phone's telemetry."""
    command = [sys.executable, "-c", START, phone.target]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"on\n"
        yield process
        process.kill()


def start_another(phone: FakePhone) -> None:
    with open_target(phone.target, timeouts=PATIENT) as target:
        poller = Poller(target, PollerSettings())
        poller.start()
        poller.finish()
        poller.remove()


def test_it_ends_with_its_folder(phone: FakePhone, host: subprocess.Popen[bytes]) -> None:
    left = phone.running_processes()
    assert left
    host.kill()
    host.wait()

    start_another(phone)

    assert all(ends_soon(process) for process in left)
    folder = phone.root.resolve("/data/local/tmp/fwdllm/telemetry")
    assert list(folder.iterdir()) == []


def test_it_goes_on_for_a_host_that_lives(phone: FakePhone, host: subprocess.Popen[bytes]) -> None:
    start_another(phone)

    folder = phone.root.resolve("/data/local/tmp/fwdllm/telemetry")
    assert len(list(folder.iterdir())) == 1
    assert phone.running_processes()
