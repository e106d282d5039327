"""The runner on a device: installed once, run to its end, and gone without a trace."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from android_harness.building.recipe import host_abi
from android_harness.errors import (
    DeviceGoneError,
    DeviceTimeoutError,
    IncompleteRunError,
    MissingFileError,
    MissingProgramError,
    NotExecutableError,
    RunnerFailedError,
    RunnerKilledError,
    RunnerMissingError,
    WrongAbiError,
)
from android_harness.fake_phone import FakePhone, Faults
from android_harness.job import AlongTask, EvaluateTask, Job
from android_harness.records import EndRecord, ErrorRecord
from android_harness.runs.installed_runner import install_runner
from android_harness.target import Target
from android_harness.targets.local_target import LocalTarget
from android_harness.targets.open_target import open_target
from exporters.durable_files import sha256_of
from exporters.lora.combination import Combination
from exporters.manifest import Bundle
from tests.android_harness.runs.recorded_runs import whole_run
from tests.android_harness.waiting import PATIENT, ends_soon

pytestmark = pytest.mark.usefixtures("private_home")

StandIn = Callable[..., Path]
UPDATE = Combination(pairs=((7, 0.5), ((1, 2), -0.5)))


def left_behind(target: Target) -> bytes:
    return target.check(["ls", str(target.workspace / "runs")]).stdout


def test_a_run_returns_its_records_and_leaves_nothing(
    target: Target, bundle: Bundle, stand_in: StandIn, examples: Path
) -> None:
    installed = install_runner(target, bundle, runner=stand_in(whole_run()))

    records = installed.run(examples=examples, tasks=[EvaluateTask(batch=(0,))], threads=1)

    assert records == whole_run()
    assert left_behind(target) == b""


def test_the_runner_reads_the_job_it_was_given(
    target: Target, bundle: Bundle, stand_in: StandIn, examples: Path, tmp_path: Path
) -> None:
    kept = target.workspace / "state" / "job.json"
    runner = stand_in(whole_run(), then=f'cp "$1" {kept}')
    installed = install_runner(target, bundle, runner=runner)

    installed.run(
        examples=examples,
        tasks=[EvaluateTask(batch=(0,))],
        threads=2,
        updates=[UPDATE],
        lora_values_out=installed.state_path("values"),
    )

    installed.fetch(installed.state_path("job.json"), tmp_path / "job.json")
    job = Job.read(tmp_path / "job.json")
    assert (job.threads, job.updates) == (2, (UPDATE,))
    for path, local in ((job.model, bundle.base), (job.adapter, bundle.adapter)):
        said = target.check(["sha256sum", path]).stdout.decode().split()[0]
        assert said == sha256_of(local)


def test_a_runs_own_files_lie_beside_its_job_and_go_with_it(
    target: Target, bundle: Bundle, stand_in: StandIn, examples: Path, tmp_path: Path
) -> None:
    kept = target.workspace / "state"
    copy = f'mkdir -p {kept}; cp "$1" {kept}/job.json; cp "${{1%/*}}/u.f32" {kept}/u.f32'
    installed = install_runner(target, bundle, runner=stand_in(whole_run(), then=copy))
    local = tmp_path / "along"
    local.write_bytes(b"\0\x80?\xff")

    task = AlongTask(batch=(0,), epsilon=0.1, direction="u.f32")
    installed.run(examples=examples, tasks=[task], threads=1, files={"u.f32": local})

    installed.fetch(installed.state_path("job.json"), tmp_path / "job.json")
    installed.fetch(installed.state_path("u.f32"), tmp_path / "u.f32")
    assert Job.read(tmp_path / "job.json").tasks == (task,)
    assert (tmp_path / "u.f32").read_bytes() == local.read_bytes()
    assert left_behind(target) == b""


def test_a_runner_has_its_delegates_libraries_and_environment(
    target: Target,
    bundle: Bundle,
    stand_in: StandIn,
    examples: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("libneuronusdk_adapter.mtk.so", "libneuron_buffer_allocator.so")
    built = tmp_path / "lib" / "libneuron_backend.so"
    built.parent.mkdir()
    for library in (*(tmp_path / name for name in names), built):
        library.write_text(library.name)
    monkeypatch.setenv("NEUROPILOT_SDK_ROOT", str(tmp_path))
    monkeypatch.setenv("EXECUTORCH_ROOT", str(tmp_path))
    bundle.manifest = bundle.manifest.model_copy(
        update={"format": "executorch", "backend": "mediatek", "environment": {"TOLD": "a b"}}
    )
    kept = target.workspace / "state" / "environment"
    runner = stand_in(whole_run(), then=f"env > {kept}")
    installed = install_runner(target, bundle, runner=runner)
    installed.run(examples=examples, tasks=[], threads=1)

    installed.fetch(installed.state_path("environment"), tmp_path / "environment")
    lines = (tmp_path / "environment").read_text().splitlines()
    environment = dict(line.split("=", 1) for line in lines if "=" in line)
    assert environment["TOLD"] == "a b"
    if isinstance(target, LocalTarget):
        return  # its runner has no delegates of phones
    folders = environment["LD_LIBRARY_PATH"].split(":")
    for name, folder in zip((*names, built.name), folders, strict=True):
        assert target.check(["cat", f"{folder}/{name}"]).stdout.decode() == name


@pytest.mark.parametrize("name", ["", ".", "..", "job.json", "../u.f32", "/u.f32", "a/u.f32"])
def test_files_cannot_lie_anywhere_else(
    target: Target, bundle: Bundle, stand_in: StandIn, examples: Path, name: str
) -> None:
    installed = install_runner(target, bundle, runner=stand_in(whole_run()))
    with pytest.raises(ValueError, match="beside the job"):
        installed.run(examples=examples, tasks=[], threads=1, files={name: examples})
    assert left_behind(target) == b""


def test_a_file_that_is_missing_here_leaves_nothing_there(
    target: Target, bundle: Bundle, stand_in: StandIn, examples: Path, tmp_path: Path
) -> None:
    installed = install_runner(target, bundle, runner=stand_in(whole_run()))
    with pytest.raises(MissingFileError):
        installed.run(
            examples=examples, tasks=[], threads=1, files={"v": examples, "u": tmp_path / "absent"}
        )
    assert left_behind(target) == b""


def test_what_is_installed_is_not_sent_again(
    phone: FakePhone, bundle: Bundle, stand_in: StandIn
) -> None:
    runner = stand_in(whole_run())
    with open_target(phone.target, timeouts=PATIENT) as target:
        seen: dict[str, tuple[int, int]] = {}
        installed = install_runner(
            target,
            bundle,
            runner=runner,
            progress=lambda name, sent, total: seen.__setitem__(name, (sent, total)),
        )
        sent = phone.traffic.pushed_bytes
        install_runner(target, bundle, runner=runner)

    sizes = [path.stat().st_size for path in (runner, bundle.base, bundle.adapter)]
    assert sent == phone.traffic.pushed_bytes == sum(sizes)
    assert sorted(seen.values()) == sorted((size, size) for size in sizes)
    assert installed.runner_sha256 == sha256_of(runner)


def test_the_runners_own_error_wins_over_its_exit_code(
    target: Target, bundle: Bundle, stand_in: StandIn, examples: Path
) -> None:
    records = [
        ErrorRecord(event="error", phase="job", message="no such layer", file=None),
        EndRecord(event="end", status="error", tasks_done=0),
    ]
    installed = install_runner(target, bundle, runner=stand_in(records, then="exit 1"))

    with pytest.raises(RunnerFailedError, match="no such layer"):
        installed.run(examples=examples, tasks=[], threads=1)


@pytest.mark.parametrize(
    ("records", "then", "message"),
    [
        (whole_run()[:-1], "echo out of luck >&2; exit 3", "exit code 3; it said: out of luck"),
        (whole_run()[:-1], "exit 0", "without an end record"),
        ([], "exit 0", "after 0 records"),
        (whole_run(), "exit 1", "exit code 1 after whole records"),
    ],
)
def test_anything_but_a_whole_run_is_no_result(
    target: Target,
    bundle: Bundle,
    stand_in: StandIn,
    examples: Path,
    records: list[object],
    then: str,
    message: str,
) -> None:
    installed = install_runner(target, bundle, runner=stand_in(records, then=then))

    with pytest.raises(IncompleteRunError, match=message):
        installed.run(examples=examples, tasks=[], threads=1)

    assert left_behind(target) == b""


def test_a_killed_runner_is_told_from_a_lost_phone(
    phone: FakePhone, bundle: Bundle, stand_in: StandIn, examples: Path
) -> None:
    runner = stand_in(whole_run()[:-1], then="kill -9 $$")
    with open_target(phone.target, timeouts=PATIENT) as target:
        installed = install_runner(target, bundle, runner=runner, patience_s=0.5)
        with pytest.raises(RunnerKilledError, match="signal 9") as caught:
            installed.run(examples=examples, tasks=[], threads=1)
        assert caught.value.signal == 9

        installed.place(examples)
        phone.faults = Faults(vanish_at_exit=True)
        with pytest.raises(DeviceGoneError):
            installed.run(examples=examples, tasks=[], threads=1)


def test_a_run_beyond_its_deadline_is_killed_with_its_children(
    target: Target, bundle: Bundle, stand_in: StandIn, examples: Path, tmp_path: Path
) -> None:
    pid_file = target.workspace / "state" / "child"
    runner = stand_in([], then=f"sleep 60 & echo $! > {pid_file}; wait")
    installed = install_runner(target, bundle, runner=runner)

    with pytest.raises(DeviceTimeoutError, match="deadline of 1 s"):
        installed.run(examples=examples, tasks=[], threads=1, timeout_s=1)

    installed.fetch(str(pid_file), tmp_path / "child")
    assert ends_soon(int((tmp_path / "child").read_text()))
    assert left_behind(target) == b""


def test_nothing_outlives_a_run_not_even_its_watchdog(
    phone: FakePhone, bundle: Bundle, stand_in: StandIn, examples: Path
) -> None:
    with open_target(phone.target, timeouts=PATIENT) as target:
        installed = install_runner(target, bundle, runner=stand_in(whole_run()))
        for _ in range(5):
            installed.run(examples=examples, tasks=[], threads=1, timeout_s=600)
        assert all(ends_soon(process) for process in phone.running_processes())


def test_two_runs_at_once_do_not_mix(
    target: Target, bundle: Bundle, stand_in: StandIn, examples: Path
) -> None:
    installed = install_runner(target, bundle, runner=stand_in(whole_run()))
    results: list[object] = []
    threads = [
        threading.Thread(
            target=lambda: results.append(installed.run(examples=examples, tasks=[], threads=1))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert results == [whole_run()] * 4


def elf(path: Path, machine: int) -> Path:
    identification = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    path.write_bytes(identification + struct.pack("<HH", 2, machine) + bytes(44))
    return path


def test_a_runner_for_another_processor_is_not_even_sent(bundle: Bundle, tmp_path: Path) -> None:
    with (
        FakePhone(props={"ro.product.cpu.abilist": "arm64-v8a"}) as phone,
        open_target(phone.target) as target,
    ):
        with pytest.raises(WrongAbiError, match=r"x86_64.*arm64-v8a"):
            install_runner(target, bundle, runner=elf(tmp_path / "runner", 62))
        assert phone.traffic.pushed_bytes == 0


def test_a_missing_runner_names_the_command_that_builds_it(bundle: Bundle) -> None:
    with (
        FakePhone(props={"ro.product.cpu.abilist": "arm64-v8a"}) as phone,
        open_target(phone.target) as target,
        pytest.raises(RunnerMissingError, match="fwdllm runner build --abi arm64-v8a`"),
    ):
        install_runner(target, bundle)


def test_a_runner_that_is_nowhere_is_named(target: Target, bundle: Bundle) -> None:
    with pytest.raises(RunnerMissingError, match="no such runner") as caught:
        install_runner(target, bundle, runner=Path("/nonexistent/runner"))
    assert caught.value.file == Path("/nonexistent/runner")


def test_a_runner_for_another_system_is_not_even_sent(
    phone: FakePhone, bundle: Bundle, tmp_path: Path
) -> None:
    """It names a loader that the device does not have."""
    loader = b"/lib/ld-of-another-system.so\0"
    header = elf(tmp_path / "runner", 62 if host_abi() == "x86_64" else 183).read_bytes()
    runner = tmp_path / "runner"
    table = struct.pack("<Q", 64) + bytes(14) + struct.pack("<HH", 56, 1)
    segment = struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(loader), len(loader), 1)
    runner.write_bytes(header[:32] + table + bytes(6) + segment + loader)
    with open_target(phone.target) as target:
        with pytest.raises(WrongAbiError, match="needs /lib/ld-of-another-system"):
            install_runner(target, bundle, runner=runner)
        assert phone.traffic.pushed_bytes == 0


def test_an_illegal_instruction_is_told_from_other_kills(
    target: Target, bundle: Bundle, stand_in: StandIn, examples: Path
) -> None:
    installed = install_runner(target, bundle, runner=stand_in([], then="kill -4 $$"))
    with pytest.raises(RunnerKilledError, match="signal 4, an instruction that") as caught:
        installed.run(examples=examples, tasks=[], threads=1)
    assert caught.value.signal == 4
    assert "FWDLLM_RUNNER_VARIANT" in caught.value.remedy


def test_a_runner_that_cannot_start_says_why(
    target: Target, bundle: Bundle, tmp_path: Path, examples: Path
) -> None:
    broken = tmp_path / "runner"
    broken.write_text("#!/no/such/interpreter\n")
    installed = install_runner(target, bundle, runner=broken)
    with pytest.raises((MissingProgramError, NotExecutableError), match=r"interpreter|runner"):
        installed.run(examples=examples, tasks=[], threads=1)


def test_state_stays_under_the_workspace(target: Target, bundle: Bundle, stand_in: StandIn) -> None:
    installed = install_runner(target, bundle, runner=stand_in(whole_run()))

    path = PurePosixPath(installed.state_path("values"))

    assert path.is_relative_to(target.workspace)


def test_the_real_runner_refuses_a_base_that_is_none(
    phone: FakePhone, bundle: Bundle, runner_binary: Path, examples: Path
) -> None:
    with open_target(phone.target, timeouts=PATIENT) as target:
        installed = install_runner(target, bundle, runner=runner_binary)
        with pytest.raises(RunnerFailedError) as caught:
            installed.run(examples=examples, tasks=[EvaluateTask(batch=(0,))], threads=1)

    assert caught.value.phase == "model"
    assert str(caught.value.file).endswith("base.gguf")
