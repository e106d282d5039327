"""From how a run ended to its records, or to the error that says why there are none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from android_harness.errors import (
    CommandFailedError,
    DeviceTimeoutError,
    IncompleteRunError,
    RunnerKilledError,
)
from android_harness.records import Record, parse_records
from android_harness.runs.detached_run import DetachedRun
from android_harness.runs.failure_evidence import read_evidence
from android_harness.runs.supervised_command import (
    DEADLINE_EXIT_CODE,
    ERRORS_FILE,
    RunReport,
)
from android_harness.target import (
    NOT_EXECUTABLE,
    NOT_FOUND,
    CommandResult,
    command_error,
)


def records_of_run(run: DetachedRun, program: Sequence[str], *, deadline_s: float) -> list[Record]:
    """Runs the program to its end, or waits for it where it runs already; its records.

    Raises:
        PushVerificationError, RunnerFailedError, RunnerKilledError, IncompleteRunError,
        DeviceTimeoutError, MissingProgramError, NotExecutableError: it did not get to its own
            end; causes that the device knows of are in the remedy.
        DeviceRebootedError, RunStoppedError, DeviceGoneError: see `DetachedRun.to_end`.
    """
    try:
        report = run.to_end(program, deadline_s=deadline_s)
        assert report.exit_code is not None
        _raise_unless_ended(run, report.exit_code, program, deadline_s)
        return _records(run, report)
    except (RunnerKilledError, IncompleteRunError, CommandFailedError, DeviceTimeoutError) as error:
        runner = PurePosixPath(program[-3]).name  # before the job's file and its hash
        killed = isinstance(error, RunnerKilledError | IncompleteRunError)
        hints = read_evidence(run.target, run.folder, runner).hints(runner, killed=killed)
        error.remedy = "; ".join([*hints[:2], error.remedy])
        raise


def _raise_unless_ended(
    run: DetachedRun, exit_code: int, program: Sequence[str], deadline_s: float
) -> None:
    device = run.target.name
    if exit_code == DEADLINE_EXIT_CODE:
        raise DeviceTimeoutError(
            f"the runner was killed at its deadline of {deadline_s:g} s",
            device=device,
            remedy="allow more time or give it less work",
        )
    if exit_code in (NOT_EXECUTABLE, NOT_FOUND):
        said = run.text(ERRORS_FILE).encode()
        raise command_error(CommandResult(exit_code, b"", said), program, device=device)
    if exit_code > 128:
        signal = exit_code - 128
        raise RunnerKilledError(
            f"the runner was killed by signal {signal}", device=device, signal=signal
        )


def _records(run: DetachedRun, report: RunReport) -> list[Record]:
    device, exit_code = run.target.name, report.exit_code
    try:
        records = parse_records(report.records, device=device)
    except IncompleteRunError as error:
        said = run.text(ERRORS_FILE).strip()[-300:]
        raise IncompleteRunError(
            f"{error.message.removeprefix(device + ': ')}; exit code {exit_code}"
            + (f"; it said: {said}" if said else ""),
            device=device,
        ) from error
    if exit_code != 0:
        raise IncompleteRunError(
            f"the runner ended with exit code {exit_code} after whole records", device=device
        )
    return records
