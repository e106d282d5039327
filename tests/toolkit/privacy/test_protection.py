"""Answers leave a client with noise that follows from their orders, for who has the secret."""

from __future__ import annotations

import dataclasses
import math
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters.lora.support import EVERYTHING
from toolkit.errors import TrainingError
from toolkit.privacy.protection import Protection, machine_secret
from toolkit.privacy.slope_noise import SlopeNoise
from toolkit.protocol.order import Along, Answer, CatchUp, Order, Probes, Snapshot
from toolkit.protocol.update import ReplicaState

PROTECTION = Protection(SlopeNoise(clip=1.0, multiplier=1.0), b"secret", ("run", "phone", "data"))
ORDER = Order(
    round_number=3,
    increment=0,
    version=2,
    sync=CatchUp(2, ()),
    values_sha256="a" * 64,
    batch=(1, 5),
    estimator="central",
    epsilon=0.01,
    probes=Probes((7, 8, 9), "rademacher", EVERYTHING, 1),
)


def answer(**more: Any) -> Answer:
    given = {"slopes": np.ones(3, np.float32), "along_slope": None, "head_gradient": None} | more
    return Answer(3, 0, "a" * 64, loss=1.5, seconds=1.0, values_from="held", **given)


def noise_of(protection: Protection, order: Order) -> list[float]:
    return protection.of(answer(), order).slopes.tolist()


def test_the_loss_is_withheld_and_all_slopes_are_blurred() -> None:
    sent = PROTECTION.of(answer(along_slope=0.25), ORDER)
    assert math.isnan(sent.loss)
    assert sent.slopes.dtype == np.float32
    assert not (sent.slopes == 1).any()
    assert sent.along_slope not in (0.25, *sent.slopes)
    assert PROTECTION.of(answer(), ORDER).along_slope is None


def test_a_repeated_order_gets_the_same_answer() -> None:
    """However the client came by its values: after a crash they come as a snapshot."""
    again = dataclasses.replace(ORDER, sync=Snapshot(ReplicaState(np.zeros(2, np.float32))))
    assert noise_of(PROTECTION, ORDER) == noise_of(PROTECTION, again)


@pytest.mark.parametrize(
    "changes",
    [
        {"round_number": 4},
        {"increment": 1},
        {"values_sha256": "b" * 64},
        {"batch": (1, 6)},
        {"estimator": "forward"},
        {"epsilon": 0.02},
        {"probes": Probes((7, 8, 10), "rademacher", EVERYTHING, 1)},
        {"along": Along(1.0, ())},
    ],
)
def test_any_other_order_gets_noise_of_its_own(changes: dict[str, Any]) -> None:
    other = dataclasses.replace(ORDER, **changes)
    assert not set(noise_of(PROTECTION, ORDER)) & set(noise_of(PROTECTION, other))


def test_other_slopes_get_noise_of_their_own() -> None:
    """The order says nothing of the momentum, the loss or the data: the slopes know of them all."""
    other = answer(slopes=np.array([1, 1, 2], np.float32))
    noise = PROTECTION.of(answer(), ORDER).slopes - 1, PROTECTION.of(other, ORDER).slopes - 1
    assert not set(noise[0].tolist()) & set(noise[1].tolist())


def test_noise_of_another_size_is_not_the_same_draw_scaled() -> None:
    """Else two sizes would make two equations of a slope and its noise."""
    small, large = (
        dataclasses.replace(PROTECTION, noise=SlopeNoise(clip=clip, multiplier=1.0))
        for clip in (2.0, 4.0)
    )
    drawn = [(np.array(noise_of(each, ORDER)) - 1) / each.noise.clip for each in (small, large)]
    assert drawn[0] != pytest.approx(drawn[1], abs=1e-3)


@pytest.mark.parametrize(
    "changes", [{"secret": b"other"}, {"context": ("run", "phone", "other data")}]
)
def test_noise_is_not_shared_between_clients_data_or_machines(changes: dict[str, Any]) -> None:
    other = dataclasses.replace(PROTECTION, **changes)
    assert not set(noise_of(PROTECTION, ORDER)) & set(noise_of(other, ORDER))


def test_an_exact_gradient_of_the_head_is_not_sent() -> None:
    with pytest.raises(TrainingError, match="head"):
        PROTECTION.of(answer(head_gradient=np.ones(2, dtype=np.float32)), ORDER)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "fwdllm" / "noise.key"


def test_a_machine_keeps_its_secret_to_its_owner(state: Path) -> None:
    secret = machine_secret()
    assert len(secret) == 32
    assert machine_secret() == secret == state.read_bytes()
    assert stat.S_IMODE(state.stat().st_mode) == 0o600


def test_a_damaged_secret_is_named(state: Path) -> None:
    state.parent.mkdir(parents=True)
    state.write_bytes(b"short")
    with pytest.raises(TrainingError, match="damaged"):
        machine_secret()
