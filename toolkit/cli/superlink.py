"""`fwdllm superlink`: the server that hosts with phones connect to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from toolkit.cli.console import err

app = typer.Typer(help="The server that hosts with phones connect to.", no_args_is_help=True)

FolderArgument = Annotated[Path, typer.Argument(help="The folder of the SuperLink.")]


@app.command("init")
def init(
    folder: FolderArgument,
    address: Annotated[str, typer.Option(help="HOST:PORT at which the hosts reach it.")],
    host: Annotated[list[str], typer.Option(help="A name for a host; repeat for several.")],
    listen: Annotated[str, typer.Option(help="The address of this machine to listen on.")] = (
        "0.0.0.0"
    ),
) -> None:
    """Make certificates, and a folder with a key for each host."""
    from toolkit.federation.link_folder import create_link_folder

    create_link_folder(folder, address=address, listen=listen, hosts=host)
    for name in host:
        path = escape(str(folder / "hosts" / name))
        err.print(f"copy {path} to {escape(name)}, then delete it here", highlight=False)
    err.print(f"start: fwdllm superlink start {escape(str(folder))}", highlight=False)


@app.command("start")
def start(folder: FolderArgument) -> None:
    """Serve until Ctrl+C; `fwdllm train --superlink FOLDER` trains over the hosts."""
    from toolkit.federation.logs import log_to_stderr
    from toolkit.federation.superlink import run_superlink

    log_to_stderr()
    run_superlink(folder)
