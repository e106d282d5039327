"""The rounds of a baseline as a table, in the columns of a forward-gradient run's."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from toolkit.backprop.contract import BackpropRound


def backprop_table(rounds: Sequence[BackpropRound]) -> pd.DataFrame:
    """One row per round; `held_out_loss` and `held_out_accuracy` are absent where not evaluated."""
    return pd.DataFrame(
        {
            **record.model_dump(exclude={"evaluation"}),
            "probes": 0,
            "held_out_loss": record.evaluation.loss if record.evaluation else None,
            "held_out_accuracy": record.evaluation.accuracy if record.evaluation else None,
        }
        for record in rounds
    )
