"""The stated fleet: how long rounds would last on phones that nobody measured.

Time here is modelled from the counts of a run and the assumptions below, and says how methods
compare under them, not how long a real fleet takes.
"""

from __future__ import annotations

from dataclasses import dataclass

from experiments.contract import EncoderModel, RoundResult, RunResult
from exporters.lora.request import layer_range

# A pass backwards through frozen weights with LoRA costs as much as the pass forwards, which
# precedes it: one product with each weight matrix.
BACKWARD_PER_FORWARD = 1.0


@dataclass(frozen=True)
class Fleet:
    """Every client is the same phone.

    `flops` are what it sustains in a forward pass, `bits_per_s` its link in either direction;
    `latency_s` passes for every exchange. Work of the frozen layers is left out: it is done once
    per example and then cached.
    """

    flops: float = 30e9
    bits_per_s: float = 10e6
    latency_s: float = 0.2

    def round_seconds(self, one: RoundResult, flops_per_example: float) -> float:
        """The slowest client's work, and its share of the bytes."""
        if one.clients == 0:
            return 0.0
        work = one.slowest_forward + BACKWARD_PER_FORWARD * one.slowest_backward
        bits = 8 * (one.bytes_down + one.bytes_up) / one.clients
        return self.latency_s + work * flops_per_example / self.flops + bits / self.bits_per_s

    def seconds(self, result: RunResult, until: int) -> float:
        """Modelled seconds of the rounds up to `until`."""
        flops = flops_per_example(result)
        return sum(self.round_seconds(one, flops) for one in result.rounds[: until + 1])


# Multiply-adds per token of one layer: 4 w² for attention and 2 w f for the feed-forward part.
_MINILM_LAYER = 4 * 384**2 + 2 * 384 * 1536
_MINILM_LAYERS = 6
# stories260K: queries and output w², keys and values w²/2 each, and three matrices w f.
_STORIES_LAYER = 3 * 64**2 + 3 * 64 * 172
_STORIES_LAYERS = 5


def flops_per_example(result: RunResult) -> float:
    """Of a forward pass through the layers from the first adapted one up, for a mean example."""
    model = result.experiment.problem.model
    if isinstance(model, EncoderModel):
        layers, weights = _MINILM_LAYERS, _MINILM_LAYER
        text = model.tuning.layers
        first = layers if text == "none" else layer_range(text, layers)[0]
    else:
        layers, weights = _STORIES_LAYERS, _STORIES_LAYER
        first = layer_range(model.layers, layers)[0]
    return 2.0 * weights * (layers - first) * result.mean_tokens
