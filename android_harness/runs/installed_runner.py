"""The native runner on a device with the bundle it works on."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from android_harness.building.accelerators import accelerator_of
from android_harness.building.choose_runner import check_runner_starts, choose_runner
from android_harness.building.engines import Engine, engine_of
from android_harness.building.executorch_delegates import PhoneDelegate, phone_delegate
from android_harness.errors import (
    DeviceError,
    DeviceTimeoutError,
    IncompleteRunError,
    MissingFileError,
    RunnerKilledError,
    RunnerMissingError,
    UnsupportedDeviceError,
)
from android_harness.facts.device_facts import DeviceFacts, read_device_facts
from android_harness.job import Job, Loss, PrefixPolicy, Task, VocabularyLoss
from android_harness.pushing.content_store import ContentStore
from android_harness.pushing.placed_bundle import PlacedBundle, place_bundle
from android_harness.records import Record, parse_records
from android_harness.runs.supervised_command import (
    DEADLINE_EXIT_CODE,
    ERRORS_FILE,
    RECORDS_FILE,
    stop,
    supervised,
)
from android_harness.target import (
    NOT_EXECUTABLE,
    NOT_FOUND,
    CommandResult,
    Target,
    command_error,
)
from android_harness.targets.local_target import LocalTarget
from exporters.durable_files import sha256_of, write_atomically
from exporters.errors import FwdllmError
from exporters.lora.combination import Combination
from exporters.manifest import Bundle

# Beyond the deadline that the device keeps: the time for its shell to report the kill.
_REPORT_GRACE_S = 10.0
_CLEAN_UP_TIMEOUT_S = 10.0
_JOB_FILE = "job.json"
_PREFIX_FOLDER = "prefix"
_NO_FILES: Mapping[str, Path] = MappingProxyType({})


class InstalledRunner:
    """Runs jobs of one bundle on one target; made by `install_runner`. Safe to use from threads.

    Attributes:
        target: the device.
        facts: what the device is.
        bundle: what is installed there.
        runner_sha256: the identity of the runner binary.
        device: what computes there; None: the CPU.
    """

    def __init__(
        self,
        target: Target,
        facts: DeviceFacts,
        bundle: Bundle,
        runner_sha256: str,
        *,
        device: str | None = None,
        store: ContentStore,
        runner: PurePosixPath,
        placed: PlacedBundle,
        environment: Mapping[str, str],
    ) -> None:
        self.target = target
        self.facts = facts
        self.bundle = bundle
        self.runner_sha256 = runner_sha256
        self.device = device
        self._store = store
        self._runner = runner
        self._placed = placed
        self._environment = environment

    def place(self, local: Path) -> str:
        """Puts a file on the device, unless its content is there already; the path there."""
        return str(self._store.place(local))

    def state_path(self, name: str) -> str:
        """The path on the device of a value that persists between runs."""
        return str(self.target.workspace / "state" / name)

    @property
    def engine(self) -> Engine:
        """What computes there."""
        return engine_of(self.bundle.manifest.format)

    def kept_prefix(self, size: int) -> PrefixPolicy | None:
        """Keeps up to `size` bytes of the states of frozen layers on the device, for all runs.

        None where the engine cannot: a program of ExecuTorch always runs all layers.
        """
        if self.engine != "ggml":
            return None
        base = self.bundle.manifest.file("base")
        return PrefixPolicy(
            bytes=size, folder=self.state_path(_PREFIX_FOLDER), model_sha256=base.sha256
        )

    def fetch(self, remote: str, local: Path) -> None:
        """Copies a file from the device."""
        self.target.pull(PurePosixPath(remote), local)

    def run(
        self,
        *,
        examples: Path,
        tasks: Sequence[Task],
        loss: Loss | None = None,
        threads: int,
        cpu_mask: str | None = None,
        lora_values: str | None = None,
        updates: Sequence[Combination] = (),
        lora_values_out: str | None = None,
        files: Mapping[str, Path] = _NO_FILES,
        prefix: PrefixPolicy | None = None,
        memory_bytes: int | None = None,
        timeout_s: float | None = None,
    ) -> list[Record]:
        """Runs one job to its end and returns its records; see `Job` for the arguments.

        `examples` is a file of this machine; `lora_values` and `lora_values_out` are paths on the
        device. `files` of this machine are put beside the job, where it finds them by their names:
        `AlongTask(direction="u.f32")` with `files={"u.f32": path}`. Whatever happens, nothing of
        the run stays on a device that can still be reached.

        Raises:
            ValueError: a name in `files` is none that a file beside the job can have.
            RunnerFailedError: the runner refused the job, with its reason.
            RunnerKilledError: a signal ended the runner.
            IncompleteRunError: the runner's records stop short.
            DeviceTimeoutError: the run took more than `timeout_s`.
            DeviceGoneError: the device vanished during the run.
            MissingProgramError, NotExecutableError: the device could not start the runner.
        """
        for name in files:
            if name in ("", ".", "..", _JOB_FILE) or "/" in name:
                raise ValueError(f"a file beside the job cannot be named {name!r}")
        job = Job(
            model=str(self._placed.model),
            adapter=str(self._placed.adapter),
            examples=self.place(examples),
            files={name: str(path) for name, path in self._placed.files.items()},
            lora_values=lora_values,
            updates=tuple(updates),
            lora_values_out=lora_values_out,
            loss=VocabularyLoss() if loss is None else loss,
            threads=threads,
            device=self.device,
            cpu_mask=cpu_mask,
            memory_bytes=memory_bytes,
            prefix=prefix,
            tasks=tuple(tasks),
        )
        folder = self.target.workspace / "runs" / uuid.uuid4().hex
        try:
            with tempfile.TemporaryDirectory() as here:
                job_path = folder / "job" / _JOB_FILE  # apart from the supervisor's own files
                for name, local in files.items():
                    self.target.push(local, job_path.with_name(name))
                self._push_text(job.model_dump_json(), job_path, Path(here))
                program = [*_setting(self._environment), str(self._runner), str(job_path)]
                result = self.target.run(
                    supervised(folder, program, deadline_s=timeout_s),
                    timeout_s=None if timeout_s is None else timeout_s + _REPORT_GRACE_S,
                )
                self._raise_unless_ended(result, program, folder, Path(here), timeout_s)
                return self._records(result, folder, Path(here))
        finally:
            # A lost device cannot be cleaned; the error that says so is already on its way.
            with suppress(DeviceError):
                self.target.run(stop(folder), timeout_s=_CLEAN_UP_TIMEOUT_S)

    def _push_text(self, text: str, remote: PurePosixPath, here: Path) -> None:
        local = here / remote.name
        write_atomically(local, text)
        self.target.push(local, remote)

    def _raise_unless_ended(
        self,
        result: CommandResult,
        program: list[str],
        folder: PurePosixPath,
        here: Path,
        timeout_s: float | None,
    ) -> None:
        """Raises when the runner did not get to its own end."""
        device = self.target.name
        if result.exit_code == DEADLINE_EXIT_CODE:
            raise DeviceTimeoutError(
                f"the runner was killed at its deadline of {timeout_s} s",
                device=device,
                remedy="allow more time or give it less work",
            )
        if result.exit_code in (NOT_EXECUTABLE, NOT_FOUND):
            said = self._pull_text(folder / ERRORS_FILE, here).encode()
            raise command_error(CommandResult(result.exit_code, b"", said), program, device=device)
        if result.exit_code > 128:
            signal = result.exit_code - 128
            raise RunnerKilledError(
                f"the runner was killed by signal {signal}", device=device, signal=signal
            )

    def _records(self, result: CommandResult, folder: PurePosixPath, here: Path) -> list[Record]:
        text = self._pull_text(folder / RECORDS_FILE, here)
        try:
            records = parse_records(text, device=self.target.name)
        except IncompleteRunError as error:
            said = self._pull_text(folder / ERRORS_FILE, here).strip()[-300:]
            raise IncompleteRunError(
                f"{error.message.removeprefix(self.target.name + ': ')}; exit code "
                f"{result.exit_code}" + (f"; it said: {said}" if said else ""),
                device=self.target.name,
            ) from error
        if result.exit_code != 0:
            raise IncompleteRunError(
                f"the runner ended with exit code {result.exit_code} after whole records",
                device=self.target.name,
            )
        return records

    def _pull_text(self, remote: PurePosixPath, here: Path) -> str:
        local = here / remote.name
        try:
            self.target.pull(remote, local)
        except MissingFileError:
            return ""
        return local.read_text(encoding="utf-8", errors="replace")


def install_runner(
    target: Target,
    bundle: Bundle,
    *,
    device: str | None = None,
    runner: Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> InstalledRunner:
    """Puts the runner and what it needs of the bundle on the device; verified, never twice.

    Args:
        device: what computes there, such as vulkan or Vulkan0; None: the CPU, or the backend that
            a bundle for ExecuTorch was exported for.
        runner: the runner binary; None takes the best one for the bundle's engine and `device`
            that was built for what the target's processor has.
        progress: called with (file name, bytes sent so far, bytes in total).

    Raises:
        FwdllmError: `device` is given for a bundle that has its backend built in.
        DelegateMissingError: a library that the bundle's backend needs on a phone is not here.
        RunnerMissingError: no runner was built for the device, or there is none at `runner`.
        WrongAbiError: the runner is for another processor, or for another system.
        UnsupportedDeviceError: the device does not tell its ABI, or no runner can be for it.
        DeviceError: a file could not be placed; the subclass says why.
    """
    facts = read_device_facts(target)
    if facts.abi is None:
        raise UnsupportedDeviceError("the device does not tell its ABI", device=target.name)
    delegate = _delegate(bundle, target)
    engine = engine_of(bundle.manifest.format)
    if engine == "executorch" and device is not None:
        raise FwdllmError(
            f"{target.name}: a bundle for ExecuTorch computes on the backend that it was exported "
            "for",
            remedy="leave --device out, or export the model for another backend",
        )
    accelerator = accelerator_of(device)
    accelerators = () if accelerator is None else (accelerator,)
    runner = runner or choose_runner(target, facts, engine, accelerators)
    if not runner.is_file():
        raise RunnerMissingError("there is no such runner", device=target.name, file=runner)
    check_runner_starts(runner, target, facts)

    store = ContentStore(target)

    def place(local: Path, *, executable: bool = False) -> PurePosixPath:
        total = local.stat().st_size

        def report(sent: int) -> None:
            if progress is not None:
                progress(local.name, sent, total)

        return store.place(local, executable=executable, progress=report)

    installed = InstalledRunner(
        target,
        facts,
        bundle,
        sha256_of(runner),
        device=device,
        store=store,
        runner=place(runner, executable=True),
        placed=place_bundle(bundle, place),
        environment={
            **bundle.manifest.environment,
            **delegate.environment([place(library) for library in delegate.libraries]),
        },
    )
    target.check(["mkdir", "-p", str(target.workspace / "state"), str(target.workspace / "runs")])
    return installed


def _setting(environment: Mapping[str, str]) -> list[str]:
    """The start of a command that runs the rest of it in this environment."""
    return ["env", *(f"{name}={value}" for name, value in environment.items())] * bool(environment)


def _delegate(bundle: Bundle, target: Target) -> PhoneDelegate:
    """What the bundle's backend needs there; a machine like this one has it in its runner."""
    if bundle.manifest.backend is None or isinstance(target, LocalTarget):
        return PhoneDelegate()
    return phone_delegate(bundle.manifest.backend, bundle.manifest.soc)
