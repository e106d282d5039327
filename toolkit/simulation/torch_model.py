"""A frozen Hugging Face model whose trainables are one flat float32 vector.

Build one with `encoder_model.load_encoder` or `causal_model.load_causal`. Then

    examples = model.prepare(store)            # holds the frozen layers' states per example
    batch = examples.batch([3, 14, 15])        # padded to its longest example
    model.slopes(model.initial, batch, directions, estimator="tangent")
    model.gradient(model.initial, batch)       # reverse mode, for baselines
    model.evaluate(values, examples)

Dropout is off throughout. Values are numpy, float32 [parameters], in the order of `layout`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from android_harness.job import Estimator
from exporters.lora.support import ParameterLayout
from toolkit.protocol.update import Values
from toolkit.simulation.backbone import Context
from toolkit.simulation.errors import SimulationError
from toolkit.simulation.lora_hooks import AdaptedBackbone
from toolkit.simulation.prefix_cache import CachePolicy, PrefixCache
from toolkit.simulation.readout import HeadReadout, Readout, Wanted
from toolkit.simulation.token_store import TokenStore


@dataclass(frozen=True)
class Batch:
    """Examples ready for the adapted layers; made by `Prepared.batch`.

    `states` [batch, longest, width] enter the first adapted layer. `shifts` [classes], in nats,
    are added to the logits.
    """

    states: torch.Tensor
    lengths: torch.Tensor
    context: Context
    wanted: Wanted
    shifts: torch.Tensor | None = None


@dataclass(frozen=True)
class Slopes:
    """`values` float32 [directions]; `loss` is the mean over all evaluations of the batch."""

    values: Values
    loss: float


@dataclass(frozen=True)
class Gradient:
    """`values` float32, of the mean loss of a batch; `loss` is that mean."""

    values: Values
    loss: float

    def along(self, directions: NDArray[np.float32]) -> Values:
        """The slopes along `directions` [directions, parameters], float32 [directions]."""
        slopes: Values = (directions @ self.values.astype(np.float64)).astype(np.float32)
        return slopes


@dataclass(frozen=True)
class Evaluated:
    """Mean loss over all `targets`, and where classes are predicted their share of hits.

    `predictions` int64 are class numbers in the order of the lines (under a verbalizer positions
    among its tokens, in the order of the targets); empty for language modelling.
    """

    loss: float
    accuracy: float | None
    predictions: NDArray[np.int64]
    targets: int


class Prepared:
    """A store's examples with their cached states; made by `TorchModel.prepare`.

    Threads may share it.
    """

    def __init__(self, model: TorchModel, store: TokenStore, policy: CachePolicy) -> None:
        self.store = store
        self.cache = PrefixCache(lambda line: model.entering(store.tokens(line)), policy)
        self._model = model

    def __len__(self) -> int:
        return len(self.store)

    def batch(self, lines: Sequence[int], shifts: NDArray[np.float64] | None = None) -> Batch:
        """The batch of these lines of the store, with `shifts` [classes] on the logits.

        Raises:
            SimulationError: no lines, lines that the store lacks, or without what the loss needs.
        """
        if not len(lines) or min(lines) < 0 or max(lines) >= len(self.store):
            raise SimulationError(f"a batch needs lines below {len(self.store)}, got {lines}")
        states = [self.cache.states(line) for line in lines]
        lengths = torch.tensor([len(one) for one in states])
        padded = torch.nn.utils.rnn.pad_sequence(states, batch_first=True)
        batch = self._model.batch_of(padded, lengths, self.store, lines)
        if shifts is None:
            return batch
        return replace(batch, shifts=torch.from_numpy(shifts).to(batch.states.dtype))

    def class_counts(self, lines: Sequence[int]) -> NDArray[np.int64] | None:
        """How many targets of these lines are of each class, [classes]; None: there are none."""
        return self._model.class_counts(self.store, lines)


class TorchModel:
    """Losses, slopes and gradients of a model as functions of its flat trainables.

    Attributes:
        layout: names, layers, shapes and slices of the trainables.
        initial: their first values; LoRA's B is 0.
    """

    def __init__(
        self,
        body: AdaptedBackbone,
        readout: Readout,
        layout: ParameterLayout,
        initial: Values,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.layout = layout
        self.initial = initial
        self._body = body
        self._readout = readout
        self._dtype = dtype

    @property
    def parameters(self) -> int:
        """The length of the flat vector."""
        return self.layout.parameters

    @property
    def head(self) -> slice | None:
        """Where the classification head is in the flat vector; None without one."""
        return self._readout.head if isinstance(self._readout, HeadReadout) else None

    @property
    def first_layer(self) -> int:
        """The first adapted layer; those below run once per example."""
        return self._body.first_layer

    def prepare(self, store: TokenStore, policy: CachePolicy | None = None) -> Prepared:
        """Makes a store's examples ready; states are computed when a batch first needs them."""
        return Prepared(self, store, policy or CachePolicy())

    def losses(self, values: NDArray[np.floating], batch: Batch) -> NDArray[np.float64]:
        """The batch's mean loss at each of `values` [vectors, parameters], in one pass.

        The frozen matrices are multiplied with the states of all vectors at once (vmap).
        """
        vectors = torch.as_tensor(values, dtype=self._dtype)
        with torch.no_grad():
            if len(vectors) == 1:
                return self._loss(vectors[0], batch)[None].numpy()
            losses: torch.Tensor = torch.func.vmap(lambda one: self._loss(one, batch))(vectors)
        return losses.numpy()

    def slopes(
        self,
        values: Values,
        batch: Batch,
        directions: NDArray[np.float32],
        *,
        estimator: Estimator,
        epsilon: float = 1e-2,
        directions_per_pass: int = 1,
        by: Literal["jvp", "reverse"] = "reverse",
    ) -> Slopes:
        """The batch's slope along each of `directions` [directions, parameters].

        Args:
            epsilon: the step of `central` and `forward`; `tangent` has none.
            directions_per_pass: how many directions share a pass over the frozen weights.
            by: how `tangent` is computed. `jvp` is forward-mode AD, as a device does it.
                `reverse` is a shortcut for simulation only: V·∇L with one reverse pass, equal to
                jvp up to rounding and about as costly as two directions, however many there are.
        """
        if estimator == "tangent" and by == "reverse":
            gradient = self.gradient(values, batch)
            return Slopes(gradient.along(directions), gradient.loss)
        parts = [
            directions[first : first + directions_per_pass]
            for first in range(0, len(directions), directions_per_pass)
        ]
        if estimator == "tangent":
            results = [self._tangents(values, batch, part) for part in parts]
            return Slopes(np.concatenate([s for s, _ in results]), results[0][1])
        step = np.float32(epsilon)
        if estimator == "central":
            pairs = [
                self.losses(np.concatenate([values + step * part, values - step * part]), batch)
                for part in parts
            ]
            plus = np.concatenate([pair[: len(pair) // 2] for pair in pairs])
            minus = np.concatenate([pair[len(pair) // 2 :] for pair in pairs])
            slopes = (plus - minus) / (2 * epsilon)
            loss = np.concatenate([plus, minus]).mean()
        else:
            base = self.losses(values[None], batch)
            plus = np.concatenate([self.losses(values + step * part, batch) for part in parts])
            slopes = (plus - base) / epsilon
            loss = np.concatenate([base, plus]).mean()
        return Slopes(slopes.astype(np.float32), float(loss))

    def gradient(self, values: Values, batch: Batch) -> Gradient:
        """The whole gradient, float32 [parameters], by reverse mode: what baselines use."""
        vector = torch.tensor(values, dtype=self._dtype, requires_grad=True)
        loss = self._loss(vector, batch)
        (gradient,) = torch.autograd.grad(loss, vector)
        return Gradient(gradient.float().numpy(), float(loss.detach()))

    def head_gradient(self, values: Values, batch: Batch) -> Gradient:
        """The exact gradient of the head, float32 [head's parameters], without reverse mode.

        With h the pooled features, the mean cross entropy of softmax(W·h + b) has the gradient
        (p − onehot)ᵀ·h in W and p − onehot in b, averaged over the batch.

        Raises:
            SimulationError: the model has no head.
        """
        if not isinstance(self._readout, HeadReadout):
            raise SimulationError("the model has no classification head")
        vector = torch.as_tensor(values, dtype=self._dtype)
        with torch.no_grad():
            features = self._readout.features(self._finished(vector, batch), batch.lengths)
            logits = self._readout.head_logits(features, vector)
            if batch.shifts is not None:
                logits = logits + batch.shifts
            classes = batch.wanted.classes
            errors = torch.softmax(logits, dim=-1)
            errors[torch.arange(len(classes)), classes] -= 1
            errors /= len(classes)
            gradient = torch.cat([(errors.T @ features).flatten(), errors.sum(0)])
            loss = _mean_cross_entropy(logits, classes)
        return Gradient(gradient.float().numpy(), float(loss))

    def evaluate(
        self,
        values: Values,
        examples: Prepared,
        lines: Sequence[int] | None = None,
        batch_size: int = 32,
    ) -> Evaluated:
        """Loss and accuracy on these lines, or on all; examples of like length go together.

        Raises:
            SimulationError: no lines, or see `Prepared.batch`.
        """
        chosen = np.arange(len(examples)) if lines is None else np.asarray(lines)
        if not len(chosen):
            raise SimulationError("there is nothing to evaluate")
        by_length = np.argsort(
            [examples.store.length(line) for line in chosen.tolist()], kind="stable"
        )
        vector = torch.as_tensor(values, dtype=self._dtype)
        total, targets = 0.0, 0
        predicted: dict[int, NDArray[np.int64]] = {}
        hits = 0
        for first in range(0, len(chosen), batch_size):
            places = by_length[first : first + batch_size]
            batch = examples.batch(chosen[places].tolist())
            with torch.no_grad():
                logits = self._logits(vector, batch)
                classes = batch.wanted.classes
                total += float(_mean_cross_entropy(logits, classes)) * len(classes)
            targets += len(classes)
            if self._readout.classes is not None:
                best = logits.argmax(-1)
                hits += int((best == classes).sum())
                for place, of_line in zip(places, self._by_line(best, batch), strict=True):
                    predicted[int(place)] = of_line
        return Evaluated(
            total / targets,
            hits / targets if self._readout.classes is not None else None,
            np.concatenate([predicted[place] for place in range(len(predicted))])
            if predicted
            else np.empty(0, dtype=np.int64),
            targets,
        )

    def entering(self, tokens: NDArray[np.int32]) -> torch.Tensor:
        """The states of one example at the first adapted layer, [tokens, width].

        Without any adapted layer, nothing but the head is trained, and the mean over the
        sequence is all that it needs: [1, width].
        """
        body = self._body
        ids = torch.from_numpy(tokens.astype(np.int64))[None]
        with torch.no_grad():
            context = body.backbone.context(torch.tensor([len(tokens)]), len(tokens), self._dtype)
            states = body.run(body.backbone.embed(ids), context, 0, body.first_layer)
            if body.first_layer == body.backbone.depth:
                states = body.backbone.finish(states).mean(1, keepdim=True)
        return states[0]

    def batch_of(
        self, states: torch.Tensor, lengths: torch.Tensor, store: TokenStore, lines: Sequence[int]
    ) -> Batch:
        """A batch of padded states; see `Prepared.batch`."""
        longest = states.shape[1]
        return Batch(
            states=states.to(self._dtype),
            lengths=lengths,
            context=self._body.backbone.context(lengths, longest, self._dtype),
            wanted=self._readout.wanted(store, lines, longest),
        )

    def class_counts(self, store: TokenStore, lines: Sequence[int]) -> NDArray[np.int64] | None:
        """See `Prepared.class_counts`."""
        if self._readout.classes is None:
            return None
        classes = self._readout.wanted(store, lines, longest=0).classes
        return np.bincount(classes.numpy(), minlength=self._readout.classes)

    def _tangents(
        self, values: Values, batch: Batch, directions: NDArray[np.float32]
    ) -> tuple[Values, float]:
        """Slopes and the loss; the directions share the primal pass."""
        vector = torch.as_tensor(values, dtype=self._dtype)
        tangents = torch.as_tensor(directions, dtype=self._dtype)

        def along(tangent: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            loss, slope, *_ = torch.func.jvp(
                lambda one: self._loss(one, batch), (vector,), (tangent,)
            )
            return loss, slope

        with torch.no_grad():
            losses, slopes = torch.func.vmap(along)(tangents)
        return slopes.float().numpy(), float(losses[0])

    def _loss(self, values: torch.Tensor, batch: Batch) -> torch.Tensor:
        """The mean loss, a scalar in float64."""
        return _mean_cross_entropy(self._logits(values, batch), batch.wanted.classes)

    def _logits(self, values: torch.Tensor, batch: Batch) -> torch.Tensor:
        states = self._finished(values, batch)
        logits = self._readout.logits(states, batch.lengths, batch.wanted, values)
        return logits if batch.shifts is None else logits + batch.shifts

    def _finished(self, values: torch.Tensor, batch: Batch) -> torch.Tensor:
        body = self._body
        if body.first_layer == body.backbone.depth:
            return batch.states
        with body.reading(values):
            states = body.run(batch.states, batch.context, body.first_layer, body.backbone.depth)
        return body.backbone.finish(states)

    @staticmethod
    def _by_line(best: torch.Tensor, batch: Batch) -> list[NDArray[np.int64]]:
        """Predictions of a batch, row by row."""
        positions = batch.wanted.positions
        if positions is None:
            return list(best.numpy()[:, None])
        rows = positions // batch.states.shape[1]
        return [best[rows == row].numpy() for row in range(len(batch.lengths))]


def _mean_cross_entropy(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Summed in float64: differences of losses are what slopes are made of."""
    losses = torch.nn.functional.cross_entropy(logits, classes, reduction="none")
    return losses.double().mean()
