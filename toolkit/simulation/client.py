"""A simulated phone: examples of its own, a replica of the state, and a model to measure with."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from exporters.lora.combination import named_direction
from toolkit.data.label_prior import log_shares
from toolkit.privacy.protection import Protection
from toolkit.privacy.slope_noise import SlopeNoise
from toolkit.protocol.along import along_direction
from toolkit.protocol.fleet import StaleReplicaError
from toolkit.protocol.order import Answer, CatchUp, Order
from toolkit.protocol.update import ReplicaState, Values
from toolkit.simulation.errors import SimulationError
from toolkit.simulation.replicas import Replica, ReplicaShelf
from toolkit.simulation.torch_model import Batch, Prepared, TorchModel
from toolkit.training.contract import TrainingConfig

# (client, order) -> modelled seconds from the order to its answer.
SecondsModel = Callable[[str, Order], float]


@dataclass(frozen=True)
class ClientOptions:
    """What simulated clients have in common.

    Args:
        tangent: how the `tangent` estimator is computed; `reverse` is the shortcut that
            `TorchModel.slopes` explains, and then an exact head comes from the same pass.
        seconds: what answers give as their seconds, which is then modelled; None: the time that
            this process took, which says nothing about a phone.
        label_prior: of the client's own label shares in its loss, see `toolkit.data.label_prior`.
        privacy: noise on the slopes before they leave the client, drawn from `secret`.
    """

    tangent: Literal["jvp", "reverse"] = "reverse"
    seconds: SecondsModel | None = None
    label_prior: float = 0.0
    privacy: SlopeNoise | None = None
    secret: bytes = b""

    def of_run(self, config: TrainingConfig) -> ClientOptions:
        """With what a run's configuration decides."""
        return replace(
            self,
            label_prior=config.label_prior,
            privacy=config.privacy,
            # No secret: who runs a simulation has the data, and wants the same run again.
            secret=str(config.seed).encode(),
        )


class TorchClient:
    """One client; version 0 of its replica is the model's initial values.

    Args:
        examples: the store of all clients, with its cached states.
        lines: which of its lines are this client's; orders count examples within them.
        replicas: what clients of the process share their values through.
    """

    def __init__(
        self,
        name: str,
        model: TorchModel,
        examples: Prepared,
        lines: Sequence[int] | NDArray[np.integer],
        replicas: ReplicaShelf,
        options: ClientOptions | None = None,
    ) -> None:
        self._name = name
        self._model = model
        self._prepared = examples
        self._lines = np.asarray(lines, dtype=np.int64)
        self._replicas = replicas
        self._options = options or ClientOptions()
        self._shifts = self._prior()
        self._version = 0
        self._replica = replicas.hold(ReplicaState(model.initial))

    @property
    def name(self) -> str:
        return self._name

    @property
    def examples(self) -> int:
        return len(self._lines)

    @property
    def replica(self) -> tuple[int, ReplicaState]:
        """The version that it holds and the state, shared with other clients: do not write to it.

        What it held before is forgotten as soon as an order brought it a later one.
        """
        return self._version, self._replica.state

    def answer(self, order: Order) -> Answer:
        """Brings the replica to the order's version and measures.

        Raises:
            StaleReplicaError: the replica does not become what the order says; it stays as it is.
            SimulationError: the order asks for what the client or its model does not have.
        """
        started = time.monotonic()
        version = self._version
        replica = self._replica_for(order)
        self._version, self._replica = order.version, replica
        if isinstance(order.sync, CatchUp):
            values_from: Literal["held", "updates", "snapshot"] = (
                "held" if version == order.version else "updates"
            )
        else:
            values_from = "snapshot"
        measured = self._measure(order, replica.state)
        seconds = self._options.seconds
        answer = Answer(
            round_number=order.round_number,
            increment=order.increment,
            values_sha256=replica.sha256,
            slopes=measured.slopes,
            loss=measured.loss,
            along_slope=measured.along_slope,
            head_gradient=measured.head_gradient,
            seconds=time.monotonic() - started if seconds is None else seconds(self._name, order),
            values_from=values_from,
        )
        noise = self._options.privacy
        if noise is None:
            return answer
        return Protection(noise, self._options.secret, (self._name,)).of(answer, order)

    def _replica_for(self, order: Order) -> Replica:
        sync = order.sync
        if isinstance(sync, CatchUp):
            missing = sync.missing(self._version, order.version)
            if missing is None:
                raise StaleReplicaError(
                    f"it holds version {self._version} and was sent {len(sync.updates)} updates "
                    f"from version {sync.since} to reach {order.version}",
                    device=self._name,
                )
            replica = self._replicas.after(self._replica, missing)
        else:
            replica = self._replicas.hold(sync.state)
        if replica.sha256 != order.values_sha256:
            raise StaleReplicaError("its values are not the server's", device=self._name)
        return replica

    def _measure(self, order: Order, state: ReplicaState) -> _Measured:
        batch = self._batch(order)
        directions = self._directions(order, state)
        probes = 0 if order.probes is None else len(order.probes.directions)
        slopes, head, losses = np.empty(0, dtype=np.float32), None, []
        one_pass = order.estimator == "tangent" and self._options.tangent == "reverse"
        if len(directions) and not one_pass:
            measured = self._model.slopes(
                state.values,
                batch,
                directions,
                estimator=order.estimator,
                epsilon=order.epsilon,
                directions_per_pass=1 if order.probes is None else order.probes.directions_per_pass,
                by=self._options.tangent,
            )
            slopes = measured.values
            losses.append(measured.loss)
        elif len(directions):
            gradient = self._model.gradient(state.values, batch)
            slopes = gradient.along(directions)
            losses.append(gradient.loss)
            if order.exact_head and self._model.head is not None:
                head = gradient.values[self._model.head]
        if order.exact_head and head is None:
            exact = self._model.head_gradient(state.values, batch)
            head = exact.values
            losses.append(exact.loss)
        if not losses:
            raise SimulationError("the order asks for nothing to measure")
        return _Measured(
            slopes=slopes[:probes],
            along_slope=float(slopes[probes]) if order.along is not None else None,
            head_gradient=head,
            # Slopes come first; a pass for the head alone evaluates the same values.
            loss=losses[0],
        )

    def _batch(self, order: Order) -> Batch:
        if not order.batch or not 0 <= min(order.batch) <= max(order.batch) < len(self._lines):
            raise SimulationError(
                f"{self._name} has {len(self._lines)} examples and cannot draw {order.batch}"
            )
        return self._prepared.batch(self._lines[list(order.batch)].tolist(), self._shifts)

    def _prior(self) -> NDArray[np.float64] | None:
        strength = self._options.label_prior
        counts = self._prepared.class_counts(self._lines.tolist()) if strength else None
        return None if counts is None else strength * log_shares(counts)

    def _directions(self, order: Order, state: ReplicaState) -> NDArray[np.float32]:
        """Those of the probes, then the one along the update: float32 [directions, parameters]."""
        layout = self._model.layout
        rows: list[Values] = []
        if order.probes is not None:
            asked = order.probes
            try:
                rows += [
                    named_direction(name, layout, asked.distribution, asked.support)
                    for name in asked.directions
                ]
            except ValueError as error:
                raise SimulationError(f"it cannot make a direction: {error}") from error
        if order.along is not None:
            rows.append(along_direction(order.along, state, layout))
        return np.stack(rows) if rows else np.empty((0, layout.parameters), dtype=np.float32)


@dataclass(frozen=True)
class _Measured:
    slopes: Values
    along_slope: float | None
    head_gradient: Values | None
    loss: float
