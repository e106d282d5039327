"""Times of a training run over hosts."""

from __future__ import annotations

import pytest

from toolkit.federation.train import times_of
from toolkit.training.contract import TrainingConfig


@pytest.mark.parametrize("deadline_s", [None, 30.0, 9000.0])
def test_a_hosts_orders_end_after_the_servers_own_deadline(deadline_s: float | None) -> None:
    config = TrainingConfig(rounds=1, timeout_s=3600.0, deadline_s=deadline_s)
    life = times_of(config).deadline_s
    assert life is not None
    # An order may run twice after the server stopped waiting for those before it.
    assert life > (deadline_s or 0) + 2 * 3600


def test_without_a_limit_for_an_order_only_lost_hosts_are_given_up() -> None:
    assert times_of(TrainingConfig(rounds=1, deadline_s=30.0)).deadline_s is None
