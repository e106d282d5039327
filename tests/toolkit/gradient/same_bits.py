"""Prints a fingerprint of what the server decides; run by `test_same_bits.py`."""

from __future__ import annotations

import hashlib

import numpy as np
from toy_problem import lora_layout, measure

from exporters.lora.directions import draw_seeds
from exporters.lora.support import EVERYTHING, Support
from toolkit.protocol.update import ReplicaState
from toolkit.robust.aggregation import ClippedMean, Mean, MedianOfMeans, TrimmedMean
from toolkit.sampling.context import SamplingContext
from toolkit.sampling.tensor_filter import TensorFilter
from toolkit.server_update.guided import GuidedStep
from toolkit.server_update.head import HeadAdam, HeadGradient, plan_head
from toolkit.server_update.memory import ServerMemory
from toolkit.server_update.momentum import MomentumStep
from toolkit.server_update.rules import plan
from toolkit.server_update.sgd import SgdStep
from toolkit.server_update.state import RoundState
from toolkit.server_update.trust_ratio import TrustRatioStep
from toolkit.server_update.yogi import YogiStep

LAYOUT = lora_layout(3, 1001, head=35)
P = LAYOUT.parameters
SUPPORTS = [EVERYTHING, Support(layers=(1, 2)), Support(matrices="B", head=False)]


def vector(seed: int) -> np.ndarray:
    """Uniform numbers: unlike normal ones they need no logarithms."""
    return np.random.default_rng(seed).uniform(-1, 1, P).astype(np.float32)


def fingerprint(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()[:16]


def main() -> None:
    answers = []
    for number, support in enumerate(SUPPORTS * 3):
        slopes = vector(number)[:5]
        names = tuple(draw_seeds(4, number + 1, 5))
        one = measure(np.zeros(P, np.float32), names, LAYOUT, f"p{number}", support)
        answers.append(type(one)(**{**vars(one), "slopes": slopes, "weight": 1 / (1 + number)}))
    for rule in (SgdStep(), TrustRatioStep(), MomentumStep(), GuidedStep(), YogiStep()):
        for aggregation in (Mean(), ClippedMean(), TrimmedMean(), MedianOfMeans(group=2)):
            if rule.kind == "guided" and aggregation.kind not in ("mean", "clipped"):
                continue
            replica, memory = ReplicaState(vector(20), vector(21)), ServerMemory()
            for number in (1, 2):
                state = RoundState(number, 3, replica, memory)
                planned = plan(rule, state, answers, LAYOUT, [0.3, 0.1, 0.7], aggregation)
                replica, memory = replica.after(planned.update, LAYOUT), planned.memory
            print(rule.kind, aggregation.kind, fingerprint(replica.values, replica.memory))
    state = RoundState(1, 3, ReplicaState(vector(20)))
    head = plan_head(HeadAdam(), state, [HeadGradient(vector(i)[:35], i) for i in (1, 2)], LAYOUT)
    assert head is not None
    print("head", fingerprint(head.overwrite.values))
    context = SamplingContext(3, 2, LAYOUT, "rademacher", EVERYTHING, vector(22))
    names = TensorFilter().propose(context, 20)
    print("filter", fingerprint(np.array(names, dtype=np.uint64)))


if __name__ == "__main__":
    main()
