"""What comes of an order: an answer, or a failure that says why there is none."""

from __future__ import annotations

from exporters.errors import FwdllmError
from toolkit.protocol.fleet import Client, StaleReplicaError
from toolkit.protocol.order import Answer, Failure, Order


def outcome_of(client: Client, order: Order) -> Answer | Failure:
    """Whatever happens, exactly one outcome follows every order: the server counts on it."""
    try:
        return client.answer(order)
    except FwdllmError as error:
        # Errors of devices begin with the device's name, which the reply tells by itself.
        reason = str(error).removeprefix(f"{client.name}: ")
        stale = isinstance(error, StaleReplicaError)
    except Exception as error:
        reason, stale = f"{type(error).__name__}: {error}", False
    return Failure(order.round_number, order.increment, reason, stale_replica=stale)
