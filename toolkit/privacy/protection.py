"""What a client does to its answers before they leave it.

The noise of an answer follows from its order, from the very slopes that were measured, and from a
secret of the machine that the client runs on. An order that is repeated, because the server was
killed before it wrote the answer down, gets the same answer again: it tells nothing new, and the
run ends with the same values. A new draw would let the server average the noise away. Where
anything differs, the order, the data, the loss or what the slopes are cut to, the noise has
nothing in common, so that no difference or ratio of answers takes it off.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import math
import os
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from toolkit.errors import TrainingError
from toolkit.privacy.slope_noise import SlopeNoise
from toolkit.protocol.order import Answer, Order
from toolkit.protocol.update import Values

_SECRET_BYTES = 32


def machine_secret() -> bytes:
    """This machine's secret, made when it is first asked for.

    It lies in `$XDG_STATE_HOME/fwdllm/noise.key`, for its owner's eyes only: who has it can take
    the noise off every slope. If it is lost, orders that are repeated get new noise.

    Raises:
        TrainingError: the file holds something else.
    """
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    path = state / "fwdllm" / "noise.key"
    if not path.exists():
        _make(path)
    secret = path.read_bytes()
    if len(secret) != _SECRET_BYTES:
        raise TrainingError(
            "the secret of private noise is damaged",
            remedy="delete it: a new one is made",
            file=path,
        )
    return secret


def _make(path: Path) -> None:
    """Whole or not at all; of several processes at once, the first one's stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent) as file:  # mode 600
        file.write(secrets.token_bytes(_SECRET_BYTES))
        file.flush()
        os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(file.name)


def protection_of(noise: SlopeNoise | None, *context: str) -> Protection | None:
    """That of a client on this machine, see `Protection`; None without noise."""
    return None if noise is None else Protection(noise, machine_secret(), context)


@dataclass(frozen=True)
class Protection:
    """The noise of one client's answers; `context` names the run, the client and its data."""

    noise: SlopeNoise
    secret: bytes
    context: Sequence[str]

    def of(self, answer: Answer, order: Order) -> Answer:
        """The answer as it may be sent: noisy slopes, and NaN for the loss, which is withheld.

        Raises:
            TrainingError: the answer holds an exact gradient of the head, which this does not
                protect.
        """
        if answer.head_gradient is not None:
            raise TrainingError(
                "noise on slopes does not hide an exact gradient of the classification head",
                remedy="train the head by probes, or switch privacy off",
            )
        along = () if answer.along_slope is None else (answer.along_slope,)
        slopes = np.array([*answer.slopes, *along], dtype=np.float32)
        released = self.noise.applied(slopes, self._generator(order, slopes))
        count = len(answer.slopes)
        return replace(
            answer,
            slopes=released[:count],
            along_slope=float(released[count]) if along else None,
            loss=math.nan,
        )

    def _generator(self, order: Order, slopes: Values) -> np.random.Generator:
        """Of all but how the client came by its values: after a crash they come as a snapshot."""
        known = (
            self.noise.model_dump_json(),
            *self.context,
            order.round_number,
            order.increment,
            order.values_sha256,
            order.batch,
            order.estimator,
            order.epsilon,
            order.probes,
            order.along,
            slopes.tobytes(),
        )
        digest = hmac.digest(self.secret, repr(known).encode(), hashlib.sha256)
        return np.random.Generator(np.random.Philox(int.from_bytes(digest, "big")))
