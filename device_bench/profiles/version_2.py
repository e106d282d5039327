"""Profiles of schema version 2, as ones of version 3.

Their cost model counted tokens, pairs of tokens and copies:

seconds of a pass = fixed_s + per_token_s · B·T·D + per_attention_pair_s · B·T²·D
+ per_direction_s · D

Of a shape in which a token costs one FLOP, a pair one attention FLOP and a copy one parameter, the
terms of today count the same, so that old profiles predict the seconds that they always did. They
do not know the model's layers, so nothing is predicted of a range of them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from device_bench.costs.memory_model import fit_memory_model
from device_bench.costs.setting import Setting
from device_bench.costs.work import ModelShape

COUNTING = ModelShape(
    layers=1,
    adapted_layers=(),
    layer_flops=1,
    input_flops=0,
    pair_flops=1,
    tangent_pairs=1,
    attention_tile=0,
    output_flops=0,
    layer_weight_bytes=0,
    output_weight_bytes=0,
    lora_parameters=1,
    loss_positions="all",
)
_TERMS = {
    "fixed_s": "fixed_s",
    "per_token_s": "s_per_flop",
    "per_attention_pair_s": "s_per_attention_flop",
    "per_direction_s": "s_per_moved_parameter",
}


def since_version_2(document: dict[str, Any]) -> dict[str, Any]:
    """What is not as version 2 has it is left for the contract to refuse."""
    for owner in (document, *_objects(document.get("beside"))):
        for backend in _objects(owner.get("backends")):
            for name in ("cost", "tangent_cost"):
                if isinstance(backend.get(name), dict):
                    backend[name] = _cost(backend[name], name == "tangent_cost")
            backend["shape"] = COUNTING.model_dump(mode="json")
            for name, tangents in (("memory", False), ("tangent_memory", True)):
                backend[name] = _memory(backend.get("arms"), tangents)
    return document


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _cost(old: dict[str, Any], tangents: bool) -> dict[str, Any]:
    new = {"s_per_weight_byte": 0.0, **{_TERMS.get(name, name): old[name] for name in old}}
    with suppress(KeyError, TypeError):  # which are for the contract to refuse
        # The point itself was a copy, and is none of the directions that are moved now.
        new["fixed_s"] += old["per_direction_s"] if tangents else 0.0
    return new


def _memory(arms: Any, tangents: bool) -> dict[str, Any] | None:
    """Fitted to the arms that move all adapted layers."""
    peaks = {}
    for arm in _objects(arms):
        try:
            setting = Setting(
                int(arm["batch"]), int(arm["tokens"]), arm["estimator"],
                int(arm["directions_per_pass"]),
            )  # fmt: skip
            if arm.get("layers") is None and (setting.estimator == "tangent") == tangents:
                peaks[setting] = int(arm["peak_memory_bytes"])
        except (KeyError, TypeError, ValueError):
            return None
    if not peaks or min(peaks.values()) < 1:
        return None
    return fit_memory_model(COUNTING, list(peaks), list(peaks.values())).model_dump(mode="json")
