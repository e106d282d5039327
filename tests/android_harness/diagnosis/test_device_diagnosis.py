"""What keeps a device from working is found, with what to do about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from android_harness.building.recipe import native_recipe
from android_harness.diagnosis.device import diagnose_device
from android_harness.diagnosis.finding import Finding
from android_harness.fake_phone import FakePhone, Faults

pytestmark = pytest.mark.usefixtures("private_home")

NO_PROGRAM = "#!/bin/sh\nexit 127\n"


def diagnosed(spec: str) -> dict[str, Finding]:
    """The findings by what was looked at."""
    return {finding.check.removeprefix(f"{spec}: "): finding for finding in diagnose_device(spec)}


def test_a_healthy_phone_lacks_a_runner_until_one_is_built(phone: FakePhone) -> None:
    found = diagnosed(phone.target)

    assert [check for check, finding in found.items() if not finding.ok] == ["runner"]
    assert "fwdllm runner build" in found["runner"].remedy
    assert "Fake Phone" in found["reachable"].seen
    assert found["sha256"].remedy == ""

    runner = native_recipe().path
    runner.parent.mkdir(parents=True)
    runner.touch()
    assert diagnosed(phone.target)["runner"].ok
    runner.unlink()


def test_a_device_that_is_not_there_is_a_finding_with_the_errors_remedy() -> None:
    (finding,) = diagnose_device("adb-tcp:127.0.0.1:1")

    assert not finding.ok
    assert "refused" in finding.seen
    assert "cable or network" in finding.remedy


def test_a_target_that_is_none_is_a_finding() -> None:
    assert not diagnose_device("usb:1")[0].ok


def test_a_device_that_is_lost_meanwhile_is_a_finding(phone: FakePhone) -> None:
    phone.faults = Faults(end_after_bytes=4000)
    assert not all(finding.ok for finding in diagnose_device(phone.target))


def test_a_workspace_that_forbids_execution_is_found(private_home: None) -> None:
    # The last one to change a file's mode decides whether it can be run.
    with FakePhone(scripts={"chmod": '#!/bin/sh\nexec /bin/chmod 644 "$2"\n'}) as phone:
        found = diagnosed(phone.target)["execution"]

    assert not found.ok
    assert "exit code 126" in found.seen
    assert "noexec" in found.remedy


def test_a_workspace_that_cannot_be_written_is_found(phone: FakePhone) -> None:
    workspace = Path(phone.root.environment()["FWDLLM_WORKSPACE"])
    workspace.write_text("a file where the folder belongs")

    assert not diagnosed(phone.target)["execution"].ok


def test_nothing_is_left_in_the_workspace(phone: FakePhone) -> None:
    diagnose_device(phone.target)

    assert not any(Path(phone.root.environment()["FWDLLM_WORKSPACE"]).iterdir())


@pytest.mark.parametrize(("free_kib", "ok"), [(100, False), (5_000_000, True), ("?", True)])
def test_little_room_is_wrong_and_unknown_room_is_noted(
    private_home: None, free_kib: object, ok: bool
) -> None:
    df = f"#!/bin/sh\necho Filesystem 1K-blocks Used Available Use%\necho /d 9 9 {free_kib} 9% /\n"
    with FakePhone(scripts={"df": df}) as phone:
        found = diagnosed(phone.target)["free space"]

    assert found.ok == ok
    assert ok or f"fwdllm clean --target {phone.target}" in found.remedy


def test_selinux_is_told_with_the_workspaces_label(private_home: None) -> None:
    scripts = {
        "getenforce": "#!/bin/sh\necho Enforcing\n",
        "ls": '#!/bin/sh\necho "u:object_r:shell_data_file:s0 $2"\n',
    }
    with FakePhone(scripts=scripts) as phone:
        found = diagnosed(phone.target)

    assert found["SELinux"].seen == "Enforcing, u:object_r:shell_data_file:s0"


def test_missing_programs_are_told_with_what_is_done_without_them(private_home: None) -> None:
    names = ("sha256sum", "toybox", "busybox", "openssl")
    with FakePhone(scripts=dict.fromkeys(names, NO_PROGRAM)) as phone:
        found = diagnosed(phone.target)["sha256"]

    assert (found.ok, found.seen) == (True, "missing")
    assert "read back" in found.remedy
