"""`fwdllm supernode`: one host with its phones, connected to a SuperLink."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.options import DeviceOption, TargetsOption, names


def supernode(
    folder: Annotated[Path, typer.Argument(help="This host's folder from `superlink init`.")],
    bundle: Annotated[Path, typer.Option(help="The bundle folder, the same as the server's.")],
    data: Annotated[
        list[str],
        typer.Option(help="A file, or hf:NAME:SPLIT, that all targets share; or one for each."),
    ],
    text_column: Annotated[
        str, typer.Option(help="Column names, or numbers from 0 without a header: title,text.")
    ],
    target: TargetsOption,
    device: DeviceOption = None,
    label_column: Annotated[str | None, typer.Option(help="For classification.")] = None,
    least_noise: Annotated[
        float, typer.Option(min=0, help="Refuse runs whose --noise is less, or that have none.")
    ] = 0.0,
) -> None:
    """Serve this host's phones; their data stay here."""
    from toolkit.data.source import parse_source
    from toolkit.data.task import TextSource
    from toolkit.federation.logs import log_to_stderr
    from toolkit.federation.phones import HostPhones
    from toolkit.federation.supernode import run_supernode

    columns = names(text_column)
    phones = HostPhones(
        tuple(target),
        bundle,
        tuple(TextSource(parse_source(each), columns, label_column) for each in data),
        least_noise,
        device,
    )
    phones.check()
    log_to_stderr()
    run_supernode(folder, phones.opener())
