"""The native runner on a device with the bundle it works on."""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from android_harness.building.accelerators import Accelerator, accelerator_of
from android_harness.building.choose_runner import check_runner_starts, choose_runner
from android_harness.building.engines import Engine, engine_of
from android_harness.building.executorch_delegates import PhoneDelegate, phone_delegate
from android_harness.errors import (
    RunnerMissingError,
    UnsupportedDeviceError,
)
from android_harness.facts.device_facts import DeviceFacts, read_device_facts
from android_harness.facts.identity import DeviceIdentity, read_identity
from android_harness.host_process import HostProcess
from android_harness.job import Job, Loss, PrefixPolicy, Task, VocabularyLoss
from android_harness.pushing.content_store import ContentStore
from android_harness.pushing.placed_bundle import PlacedBundle, place_bundle
from android_harness.records import Record
from android_harness.runs.detached_run import DEFAULT_DEADLINE_S, PATIENCE_S, DetachedRun
from android_harness.runs.journal import JournaledRun
from android_harness.runs.live_runs import LIVE_RUNS
from android_harness.runs.run_result import records_of_run
from android_harness.runs.supervised_command import is_run_name
from android_harness.target import Target
from android_harness.targets.local_target import LocalTarget
from exporters.durable_files import sha256_of, write_atomically
from exporters.errors import FwdllmError
from exporters.lora.combination import Combination
from exporters.manifest import Bundle

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
        patience_s: how long a run waits each time for a device that was lost.
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
        patience_s: float = PATIENCE_S,
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
        self.patience_s = patience_s
        self._asked_identity: DeviceIdentity | None = None
        self._identity_lock = threading.Lock()

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
        name: str | None = None,
    ) -> list[Record]:
        """Runs one job to its end and returns its records; see `Job` for the arguments.

        `examples` is a file of this machine; `lora_values` and `lora_values_out` are paths on the
        device. `files` of this machine are put beside the job, where it finds them by their names:
        `AlongTask(direction="u.f32")` with `files={"u.f32": path}`.

        The job goes on while the device is out of reach, and is waited for up to `patience_s`
        seconds each time. Whatever happens, nothing of the run stays on a device that can still be
        reached. When this process is killed, the run ends after `timeout_s` seconds, or
        `DEFAULT_DEADLINE_S`; asked for again by its `name`, the same job is then taken up where
        it is, or its result is collected, and another job of that name replaces it.

        Raises:
            ValueError: a name in `files` is none that a file beside the job can have, or `name`
                none that a run can have.
            PushVerificationError: the job was damaged on its way.
            RunnerFailedError: the runner refused the job, with its reason.
            RunnerKilledError: a signal ended the runner.
            IncompleteRunError: the runner's records stop short.
            DeviceTimeoutError: the run took more than `timeout_s`.
            DeviceRebootedError: the device booted anew during the run.
            DeviceGoneError: the device vanished and stayed away.
            RunStoppedError: the run was stopped from elsewhere.
            MissingProgramError, NotExecutableError: the device could not start the runner.
        """
        for each in files:
            if each in ("", ".", "..", _JOB_FILE) or "/" in each:
                raise ValueError(f"a file beside the job cannot be named {each!r}")
        if name is not None and not is_run_name(name):
            raise ValueError(f"a run cannot be named {name!r}")
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
        deadline_s = DEFAULT_DEADLINE_S if timeout_s is None else timeout_s
        entry = self._journal_entry(name, deadline_s)
        run = DetachedRun(self.target, PurePosixPath(entry.folder), patience_s=self.patience_s)
        job_path = run.folder / "job" / _JOB_FILE  # apart from the supervisor's own files
        text = job.model_dump_json()
        digest = hashlib.sha256(text.encode()).hexdigest()
        program = [*_setting(self._environment), str(self._runner), str(job_path), digest]
        LIVE_RUNS.stop_left(self.target, entry.serial, but=entry.id)
        with LIVE_RUNS.under_way(run, entry):
            if name is None or run.claim(_fingerprint(program, files)).state == "absent":
                for each, local in files.items():
                    run.push(local, job_path.with_name(each))
                with tempfile.TemporaryDirectory() as here:
                    local_job = Path(here) / _JOB_FILE
                    write_atomically(local_job, text)
                    run.push(local_job, job_path)
            return records_of_run(run, program, deadline_s=deadline_s)

    def _journal_entry(self, name: str | None, deadline_s: float) -> JournaledRun:
        identity = self._identity()
        folder_name = name or uuid.uuid4().hex
        now = datetime.now(UTC)
        return JournaledRun(
            target=self.target.name,
            serial=identity.serial,
            boot_id=identity.boot_id,
            folder=str(self.target.workspace / "runs" / folder_name),
            name=folder_name,
            named=name is not None,
            bundle=str(self.bundle.folder.absolute()),
            host=HostProcess.current(),
            started_at=now,
            deadline_at=now + timedelta(seconds=deadline_s),
        )

    def _identity(self) -> DeviceIdentity:
        with self._identity_lock:
            if self._asked_identity is None:
                self._asked_identity = read_identity(self.target)
            return self._asked_identity


def install_runner(
    target: Target,
    bundle: Bundle,
    *,
    device: str | None = None,
    accelerators: Sequence[Accelerator] = (),
    runner: Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    patience_s: float = PATIENCE_S,
) -> InstalledRunner:
    """Puts the runner and what it needs of the bundle on the device; verified, never twice.

    Args:
        device: what computes there, such as vulkan or Vulkan0; None: the CPU, or the backend that
            a bundle for ExecuTorch was exported for.
        accelerators: what the runner must have too, so that several devices of one target can be
            compared by the same one.
        runner: the runner binary; None takes the best one for the bundle's engine and `device`
            that was built for what the target's processor has.
        progress: called with (file name, bytes sent so far, bytes in total).
        patience_s: how long a run waits each time for a device that was lost.

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
    own = accelerator_of(device)
    needed = tuple(dict.fromkeys((*accelerators, *((own,) if own is not None else ()))))
    runner = runner or choose_runner(target, facts, engine, needed)
    if not runner.is_file():
        raise RunnerMissingError("there is no such runner", device=target.name, file=runner)
    check_runner_starts(runner, target, facts)

    store = ContentStore(target)

    def place(local: Path, *, sha256: str | None = None, executable: bool = False) -> PurePosixPath:
        total = local.stat().st_size

        def report(sent: int) -> None:
            if progress is not None:
                progress(local.name, sent, total)

        return store.place(local, sha256=sha256, executable=executable, progress=report)

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
        patience_s=patience_s,
    )
    target.check(["mkdir", "-p", str(target.workspace / "state"), str(target.workspace / "runs")])
    return installed


def _fingerprint(program: Sequence[str], files: Mapping[str, Path]) -> str:
    """The SHA-256 of all that decides what a run computes; the program ends with its job's."""
    hashes = {name: sha256_of(local) for name, local in sorted(files.items())}
    content = json.dumps([*program, hashes])
    return hashlib.sha256(content.encode()).hexdigest()


def _setting(environment: Mapping[str, str]) -> list[str]:
    """The start of a command that runs the rest of it in this environment."""
    return ["env", *(f"{name}={value}" for name, value in environment.items())] * bool(environment)


def _delegate(bundle: Bundle, target: Target) -> PhoneDelegate:
    """What the bundle's backend needs there; a machine like this one has it in its runner."""
    if bundle.manifest.backend is None or isinstance(target, LocalTarget):
        return PhoneDelegate()
    return phone_delegate(bundle.manifest.backend, bundle.manifest.soc)
