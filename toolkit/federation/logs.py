"""What the long-running commands say on stderr."""

from __future__ import annotations

import logging

_LOUD = ("httpx", "httpcore", "alembic", "uvicorn.access")


def log_to_stderr() -> None:
    """Our own messages and Flower's warnings, one line each, with the time."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.WARNING)
    import flwr.common.logger  # noqa: F401  it adds a handler of its own, which shows everything

    flower = logging.getLogger("flwr")
    flower.handlers.clear()
    flower.setLevel(logging.INFO)
