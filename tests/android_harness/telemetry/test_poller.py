"""The script on the device, under the shells that devices have."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath

import pytest

from android_harness.errors import DeviceError
from android_harness.fake_phone import FakePhone
from android_harness.target import Target
from android_harness.targets.local_target import LocalTarget
from android_harness.targets.open_target import open_target
from android_harness.telemetry.device_lines import DeviceLines
from android_harness.telemetry.poller import Increment, Poller, PollerSettings
from android_harness.telemetry.records import TelemetryBegin, TelemetryReading, TelemetryRecord
from tests.android_harness.telemetry.sensor_tree import make_sensor_tree, sensor_files
from tests.android_harness.waiting import PATIENT, ends_soon

pytestmark = pytest.mark.usefixtures("private_home")

# All that the script calls, so that a shell's machine needs to have no more.
PROGRAMS = ("tail", "head", "sleep", "mkdir", "rm", "setsid", "true")
# What `sh` is, and what has the programs; Android's are mksh and toybox.
SHELLS = {
    "dash": ("dash", None),
    "busybox": ("busybox", "busybox"),
    "mksh and toybox": ("mksh", "toybox"),
}
SETTINGS = PollerSettings(dump_interval_s=1, lease_s=120)
# For what does not depend on the shell.
DASH = pytest.mark.parametrize("machine", ["dash"], indirect=True)


@pytest.fixture(params=sorted(SHELLS))
def machine(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Target:
    """This machine with the sensors of a phone, and nothing on the PATH but one kind of shell."""
    shell, applets = SHELLS[request.param]
    folder = tmp_path / "bin"
    folder.mkdir()
    programs = {"sh": shell, **{name: applets or name for name in PROGRAMS}}
    for name, program in programs.items():
        found = shutil.which(program)
        if found is None:
            pytest.skip(f"there is no {program} on this machine")
        (folder / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("FWDLLM_SYSTEM_ROOT", str(make_sensor_tree(tmp_path / "root")))
    return LocalTarget(tmp_path / "workspace")


def fetched_until(
    poller: Poller,
    enough: Callable[[list[TelemetryRecord]], bool],
    lines: DeviceLines | None = None,
) -> tuple[list[TelemetryRecord], Increment]:
    """Fetches until the new records suffice; `lines` has taken those before, if there were any."""
    lines, records = lines or DeviceLines("local"), []
    for _ in range(300):
        increment = poller.fetch()
        records += lines.feed(increment.data)
        if enough(records):
            return records, increment
        time.sleep(0.1)
    raise AssertionError(f"not enough: {records}")


def readings(records: list[TelemetryRecord]) -> list[TelemetryReading]:
    return [record for record in records if isinstance(record, TelemetryReading)]


def uptime_ns() -> int:
    return round(float(Path("/proc/uptime").read_text().split()[0]) * 1e9)


def process_of(poller: Poller) -> int:
    return int(Path(poller.folder / "pid").read_text().split()[0])


def add_program(name: str, script: str) -> None:
    program = Path(os.environ["PATH"]) / name
    program.write_text(f"#!{program.parent / 'sh'}\n{script}")
    program.chmod(0o755)


def test_each_sensor_is_told_once_in_its_own_unit(machine: Target) -> None:
    poller = Poller(machine, SETTINGS)
    poller.start()

    records, _ = fetched_until(poller, lambda records: len(readings(records)) >= 4)

    poller.finish()
    values = {name: value for each in readings(records) for name, value in each.values.items()}
    cost_s = values.pop("poller_cpu_seconds.poller")
    assert 0 <= cost_s < 10
    assert values == {
        "temperature_celsius.BIG": 45.0,
        "temperature_celsius.LITTLE": 41.5,
        "temperature_celsius.BIG#2": 46.0,
        "temperature_celsius.battery gauge": 34.7,
        "cooling_state.thermal-cpufreq-0": 2.0,
        "frequency_hertz.policy0": 1.803e9,
        "frequency_hertz.policy4": 2.363e9,
        "current_raw.battery": -229375.0,
        "voltage_raw.battery": 3975000.0,
        "battery_status.battery": 3.0,
        "charge_raw.battery": 2726000.0,
        "plugged.usb": 0.0,
        "memory_available_bytes.device": 4000000 * 1024.0,
    }


@DASH
def test_readings_follow_their_sensors_also_into_absence(machine: Target) -> None:
    poller = Poller(machine, SETTINGS)
    poller.start()
    lines = DeviceLines("local")
    fetched_until(poller, lambda records: len(readings(records)) >= 2, lines)
    battery = Path(os.environ["FWDLLM_SYSTEM_ROOT"]) / "sys/class/power_supply/battery"
    before_ns = uptime_ns()

    (battery / "current_now").write_text("-500000\n")
    fetched_until(poller, lambda records: len(readings(records)) >= 3, lines)
    (battery / "current_now").unlink()
    (battery / "voltage_now").write_text("no data\n")
    fetched_until(poller, lambda records: len(readings(records)) >= 3, lines)
    poller.finish()

    whole = Path(poller.folder / "lines").read_bytes()
    fast = [
        each
        for each in readings(DeviceLines("local").feed(whole))
        if "frequency_hertz.policy0" in each.values
    ]
    assert fast[0].uptime_ns <= before_ns < fast[-1].uptime_ns <= uptime_ns()
    currents = [each.values.get("current_raw.battery") for each in fast]
    assert list(dict.fromkeys(currents)) == [-229375.0, -500000.0, None]
    assert set(fast[-1].values) == {"frequency_hertz.policy0", "frequency_hertz.policy4"}


@DASH
def test_a_machine_without_sensors_tells_its_memory_and_no_more(
    machine: Target, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bare/proc").mkdir(parents=True)
    (tmp_path / "bare/proc/meminfo").write_text("MemAvailable: 5 kB\n")
    monkeypatch.setenv("FWDLLM_SYSTEM_ROOT", str(tmp_path / "bare"))
    poller = Poller(machine, SETTINGS)
    poller.start()

    records, _ = fetched_until(poller, lambda records: bool(readings(records)))

    poller.finish()
    (begin,) = [record for record in records if isinstance(record, TelemetryBegin)]
    assert {sensor.channel for sensor in begin.sensors} == {
        "memory_available_bytes.device",
        "poller_cpu_seconds.poller",
    }


def test_services_are_asked_where_files_do_not_tell(machine: Target, tmp_path: Path) -> None:
    root = Path(os.environ["FWDLLM_SYSTEM_ROOT"])
    shutil.rmtree(root / "sys/class")
    counter = tmp_path / "counter"
    counter.write_text("200\n")
    add_program(
        "dumpsys",
        """case $1 in
thermalservice) echo "IsStatusOverride: false
Thermal Status: 2
Current temperatures from HAL:
	Temperature{mValue=36.5, mType=3, mName=skin, mStatus=0}
Temperature static thresholds from HAL:
	Temperature{mValue=99.0, mType=3, mName=threshold, mStatus=0}" ;;
battery) echo "Current Battery Service state:
  AC powered: false
  status: 3
  present: true
  voltage: 3975" ;;
esac""",
    )
    add_program(
        "cmd",
        f"""[ "$3" != -f ] || {{ echo "Unknown get option: -f"; exit; }}
read -r n <"{counter}"; echo $((n + 1)) >"{counter}"; echo "-$n" """,
    )
    poller = Poller(machine, SETTINGS)
    poller.start()

    def enough(records: list[TelemetryRecord]) -> bool:
        return sum("current_raw.battery" in each.values for each in readings(records)) >= 3

    records, _ = fetched_until(poller, enough)
    poller.finish()

    values = {name: value for each in readings(records) for name, value in each.values.items()}
    assert values["thermal_status.device"] == 2.0
    assert values["temperature_celsius.skin"] == 36.5
    assert "temperature_celsius.threshold" not in values
    assert (values["voltage_raw.battery"], values["plugged.any"]) == (3975.0, 0.0)
    currents = [
        each.values["current_raw.battery"]
        for each in readings(records)
        if "current_raw.battery" in each.values
    ]
    assert currents == sorted(set(currents), reverse=True)  # a new answer each time
    (begin,) = [record for record in records if isinstance(record, TelemetryBegin)]
    sources = {sensor.channel: sensor.source for sensor in begin.sensors}
    assert sources["current_raw.battery"] == "cmd battery get current_now"


@DASH
@pytest.mark.parametrize("answer", ["Unknown get option: current_now", "-2147483648", ""])
def test_a_service_that_knows_no_current_is_not_asked_again(machine: Target, answer: str) -> None:
    root = Path(os.environ["FWDLLM_SYSTEM_ROOT"])
    (root / "sys/class/power_supply/battery/current_now").unlink()
    asked = root / "asked"
    add_program("cmd", f'echo "$*" >>"{asked}"; echo "{answer}"')
    poller = Poller(machine, SETTINGS)
    poller.start()

    records, _ = fetched_until(poller, lambda records: len(readings(records)) >= 8)

    poller.finish()
    assert not any("current_raw.battery" in each.values for each in readings(records))
    assert asked.read_text().split("\n") == [
        "battery get -f current_now",
        "battery get current_now",
        "",
    ]


def test_a_finished_poller_is_dead_and_leaves_nothing(machine: Target) -> None:
    poller = Poller(machine, SETTINGS)
    poller.start()
    fetched_until(poller, lambda records: bool(readings(records)))
    process = process_of(poller)

    assert poller.finish().state == "ended"
    poller.remove()

    assert ends_soon(process)
    assert not Path(poller.folder).exists()
    assert poller.fetch().state == "absent"


@DASH
def test_a_start_that_is_repeated_starts_no_second_poller(machine: Target) -> None:
    poller = Poller(machine, SETTINGS)
    poller.start()
    process = process_of(poller)

    poller.start()
    fetched_until(poller, lambda records: len(readings(records)) >= 4)

    assert process_of(poller) == process
    poller.finish()
    begun = Path(poller.folder / "lines").read_bytes().count(b"\nr ")
    assert begun == 1


def test_a_full_file_ends_the_poller(machine: Target) -> None:
    poller = Poller(machine, PollerSettings(limit_bytes=1500, lease_s=120))
    poller.start()

    _, last = fetched_until(poller, lambda records: bool(records) and records[-1].event == "end")
    while last.state == "running":
        time.sleep(0.05)
        last = poller.fetch()

    size = Path(poller.folder / "lines").stat().st_size
    assert 1500 < size < 4000


def test_a_later_poller_sweeps_what_crashed_hosts_left(machine: Target) -> None:
    kept, forgotten, foreign = (Poller(machine, SETTINGS) for _ in range(3))
    for poller in (kept, forgotten, foreign):
        poller.start()
        poller.finish()
    Path(forgotten.folder / "lease").write_text("-7200\n")
    Path(foreign.folder / "pid").write_text("1 another-boot 1\n")
    running = Poller(machine, SETTINGS)
    running.start()

    last = Poller(machine, SETTINGS)
    last.start()

    there = {path.name for path in Path(machine.workspace / "telemetry").iterdir()}
    assert there == {kept.folder.name, running.folder.name, last.folder.name}
    for poller in (running, last):
        assert poller.finish().state == "ended"


@DASH
def test_a_recycled_process_number_is_not_killed(machine: Target) -> None:
    poller = Poller(machine, SETTINGS)
    poller.start()
    poller.finish()
    other = subprocess.Popen([shutil.which("sleep") or "sleep", "60"])
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    Path(poller.folder / "pid").write_text(f"{other.pid} {boot} 1\n")

    assert poller.fetch().state == "ended"
    poller.finish()

    assert other.poll() is None
    other.kill()
    other.wait()


HOST = """
import sys, time
from pathlib import Path
from android_harness.targets.local_target import LocalTarget
from android_harness.telemetry.recorder import recorded_telemetry
with recorded_telemetry(
    LocalTarget(Path(sys.argv[1])), Path(sys.argv[2]), lease_s=2, fetch_interval_s=0.2
):
    time.sleep(600)
"""


def test_a_killed_host_leaves_a_poller_that_ends_by_its_lease(tmp_path: Path) -> None:
    workspace, path = tmp_path / "workspace", tmp_path / "telemetry.jsonl"
    host = subprocess.Popen([sys.executable, "-c", HOST, workspace, path])
    try:
        while host.poll() is None and not (path.exists() and b'"reading"' in path.read_bytes()):
            time.sleep(0.05)
    finally:
        host.send_signal(signal.SIGKILL)
        host.wait()
    (folder,) = (workspace / "telemetry").iterdir()
    process = int((folder / "pid").read_text().split()[0])

    assert Path(f"/proc/{process}").exists()
    assert any(ends_soon(process) for _ in range(10))

    assert (folder / "lines").read_text().rstrip().endswith("lease")


def test_lost_connections_lose_no_line_and_double_none() -> None:
    with (
        FakePhone(files=sensor_files()) as phone,
        open_target(phone.target, timeouts=PATIENT) as target,
    ):
        poller = Poller(target, SETTINGS)
        poller.start()
        over = threading.Event()

        def drop() -> None:
            while not over.wait(0.03):
                phone.drop_connections()

        dropping = threading.Thread(target=drop)
        dropping.start()
        data, lost = b"", 0
        while lost < 3 or len(data) < 2000:
            try:
                data += poller.fetch().data
            except DeviceError:
                lost += 1
        over.set()
        dropping.join()
        with suppress(DeviceError):  # on a connection that the last drop took
            target.run(["true"])
        data += poller.finish().data

        written = phone.root.resolve(str(PurePosixPath(poller.folder) / "lines")).read_bytes()
        assert data == written


@DASH
def test_much_is_fetched_in_pieces(machine: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    poller = Poller(machine, SETTINGS)
    poller.start()
    fetched_until(poller, lambda records: len(readings(records)) >= 2)
    later = Poller(machine, SETTINGS)
    later.folder = poller.folder
    monkeypatch.setattr("android_harness.telemetry.poller._CHUNK_BYTES", 100)

    pieces = [later.finish().data]
    while pieces[-1]:
        pieces.append(later.finish().data)

    assert max(map(len, pieces)) == 100
    assert b"".join(pieces) == Path(poller.folder / "lines").read_bytes()


@pytest.mark.parametrize(
    "settings", [{"hertz": 5}, {"hertz": 0}, {"dump_interval_s": 0}, {"lease_s": 0}]
)
def test_settings_that_no_poller_can_have(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        PollerSettings(**settings)  # type: ignore[arg-type]
