from __future__ import annotations

import json
from pathlib import Path

import pytest

from android_harness.fake_phone import FakePhone
from android_harness.fake_phone.recording import read_recording
from android_harness.targets.open_target import open_target
from exporters.errors import ContractError

pytestmark = pytest.mark.usefixtures("private_home")


def test_a_recorded_device_answers_as_it_did(tmp_path: Path) -> None:
    path = tmp_path / "device.json"
    battery = "Current Battery Service state:\n  level: 68 %s $HOME 'quoted'\n"
    path.write_text(
        json.dumps(
            {
                "source": "made by hand",
                "props": {"ro.product.model": "Recorded"},
                "files": {"/proc/uptime": "1.0 2.0\n"},
                "commands": {"dumpsys battery": battery, "dumpsys power": "", "id": "shell"},
            }
        )
    )
    recording = read_recording(path)
    with (
        FakePhone(props=recording.props, files=recording.files, scripts=recording.scripts) as phone,
        open_target(phone.target) as target,
    ):
        assert target.check(["getprop", "ro.product.model"]).stdout == b"Recorded\n"
        assert target.check(["dumpsys", "battery"]).stdout == battery.encode()
        assert target.check(["id"]).stdout == b"shell"
        assert target.run(["dumpsys", "meminfo"]).exit_code == 1


def test_a_command_with_several_answers_gives_them_in_turn_and_then_the_last(
    tmp_path: Path,
) -> None:
    path = tmp_path / "device.json"
    commands = {"dumpsys battery": ["hot\n", "it's cool\n"], "dumpsys power": ["on", "off"]}
    path.write_text(json.dumps({"commands": commands}))
    with FakePhone(scripts=read_recording(path).scripts) as phone, open_target(phone.target) as it:
        heard = [it.check(["dumpsys", "battery"]).stdout for _ in range(4)]
        assert heard == [b"hot\n", *[b"it's cool\n"] * 3]
        assert it.check(["dumpsys", "power"]).stdout == b"on"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"props": []}',
        '{"files": {"/proc": 1}}',
        '{"files": {"/proc": ["a"]}}',
        '{"commands": {"id": []}}',
        '{"commands": {"id": ["a", 1]}}',
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "device.json"
    path.write_text(text)

    with pytest.raises(ContractError, match="not a recording"):
        read_recording(path)


def test_a_missing_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="No such file") as raised:
        read_recording(tmp_path / "absent.json")
    assert raised.value.file == tmp_path / "absent.json"
