"""The device-side scripts read the same in every shell that phones and boards have."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest

from android_harness.facts import script
from tests.android_harness.facts.recorded_device import printed_by

# Before Android 7 the daemon takes 4096 bytes to open a service, the command included.
OLD_DAEMON_BYTES = 4096

TOYBOX_PROGRAMS = ("cat", "df", "getconf", "grep", "nproc", "sed", "uname")


@pytest.fixture
def toybox_folder(tmp_path: Path) -> Path:
    toybox = shutil.which("toybox")
    if toybox is None:
        pytest.skip("no toybox on this machine")
    for name in TOYBOX_PROGRAMS:
        (tmp_path / name).symlink_to(toybox)
    return tmp_path


def comparable(output: str) -> dict[str, str]:
    """What does not change from one run to the next, and is of the recording."""
    skipped = ("space", "machine", "kernel", "nproc", "pagesize")
    return {k: v for k, v in script.sections(output).items() if k not in skipped}


@pytest.mark.parametrize("text", [script.FACTS, script.STATUS], ids=["facts", "status"])
@pytest.mark.parametrize("shell", ["dash", "busybox sh", "mksh"])
def test_all_shells_read_the_same(shared_data: Path, shell: str, text: str) -> None:
    program = shutil.which(shell.split()[0])
    if program is None:
        pytest.skip(f"no {shell} on this machine")
    recorded = json.loads((shared_data / "phones/proc_sys/pixel-8.json").read_text())
    device = {"props": recorded["props"], "files": recorded["files"]}

    output = printed_by(text, **device, shell=[program, *shell.split()[1:]])
    assert comparable(output) == comparable(printed_by(text, **device, shell=["bash"]))
    files = script.small_files(script.sections(output)["files"])
    assert files["/sys/devices/system/cpu/online"] == "0-8"


@pytest.mark.parametrize("text", [script.FACTS, script.STATUS], ids=["facts", "status"])
def test_the_shell_and_programs_of_android_read_the_same(
    shared_data: Path, toybox_folder: Path, text: str
) -> None:
    mksh = shutil.which("mksh")
    if mksh is None:
        pytest.skip("no mksh on this machine")
    recorded = json.loads((shared_data / "phones/proc_sys/galaxy-s9-us.json").read_text())
    device = {"props": recorded["props"], "files": recorded["files"]}

    # The recorded getprop is itself a script for sh.
    (toybox_folder / "sh").symlink_to(mksh)
    output = printed_by(text, **device, shell=[mksh], path=str(toybox_folder))
    assert comparable(output) == comparable(printed_by(text, **device, shell=["bash"]))


def test_nothing_at_all_on_a_device_still_ends_well(tmp_path: Path) -> None:
    for text in (script.FACTS, script.STATUS):
        output = printed_by(
            text, props={}, files={"/proc/none": ""}, shell=["/bin/sh"], path=str(tmp_path)
        )
        assert not any(script.sections(output).values())


@pytest.mark.parametrize("text", [script.FACTS, script.STATUS], ids=["facts", "status"])
def test_old_daemons_take_the_scripts(text: str) -> None:
    assert len(f"shell:{shlex.join(['sh', '-c', text, 'sh', '/' + 200 * 'x'])}") < OLD_DAEMON_BYTES
