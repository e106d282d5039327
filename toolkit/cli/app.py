"""`fwdllm`: the commands in the order in which a user meets them."""

from __future__ import annotations

import logging
import sys

import typer
from pydantic import ValidationError

from exporters.errors import FwdllmError
from toolkit.cli import (
    allocate,
    bench,
    clean,
    compare,
    convergence,
    demo,
    devices,
    doctor,
    exchange,
    export,
    plan,
    population,
    profile,
    push,
    report,
    restore,
    resume,
    runner,
    runs,
    superlink,
    supernode,
    telemetry,
    train,
)
from toolkit.cli.console import err, print_error
from toolkit.cli.interruption import Interruption

app = typer.Typer(
    help="Federated LLM fine-tuning on phones with forward passes only.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("doctor")(doctor.doctor)
app.add_typer(export.app, name="export")
app.add_typer(runner.app, name="runner")
app.command("devices")(devices.devices)
app.command("push")(push.push)
app.command("telemetry")(telemetry.telemetry)
app.command("clean")(clean.clean)
app.command("bench")(bench.bench)
app.command("restore")(restore.restore)
app.command("runs")(runs.runs)
app.command("resume")(resume.resume)
app.command("compare")(compare.compare)
app.command("profile")(profile.profile)
app.add_typer(exchange.app, name="exchange")
app.command("fleet")(population.fleet)
app.command("allocate")(allocate.allocate)
app.command("plan")(plan.plan)
app.command("train")(train.train)
app.command("convergence")(convergence.convergence)
app.add_typer(superlink.app, name="superlink")
app.command("supernode")(supernode.supernode)
app.command("report")(report.report)
app.command("demo")(demo.demo)


def main() -> None:
    """The entry point: expected failures become a message and exit code 1.

    SIGINT, SIGTERM and SIGHUP stop what runs on devices; the exit code is then 128 + the signal.
    """
    # peft imports torchao, which warns of its kernels for other processors.
    for library in ("torchao", "torch.utils._pytree"):
        logging.getLogger(library).setLevel(logging.ERROR)
    interruption = Interruption()
    interruption.listen()
    try:
        app()
    except FwdllmError as error:
        print_error(error)
        sys.exit(1)
    except ValidationError as error:  # a value that an option's type lets through
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        print_error(FwdllmError(f"{place} = {problem['input']!r}: {problem['msg']}"))
        sys.exit(1)
    except OSError as error:
        print_error(FwdllmError(error.strerror or str(error), file=error.filename))
        sys.exit(1)
    except (KeyboardInterrupt, SystemExit) as ended:  # typer makes the one the other
        handled = isinstance(ended, SystemExit) and not ended.code
        if interruption.exit_code is None or handled:  # as by what is meant to be ended so
            raise
        err.print("interrupted")
        raise SystemExit(interruption.exit_code) from ended
