"""The terms of a cost model: what each costs, and whether the arms tell it apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from device_bench.costs.cost_model import CostModel
from device_bench.costs.work import Work
from toolkit.report.content import Cell, Table, columns
from toolkit.report.device.fitted import Fitted
from toolkit.report.wording import arm_name

FORMULA = (
    "fixed · passes + weights · bytes read + products · FLOPs + attention · its FLOPs + "
    "LoRA · moved parameters"
)


@dataclass(frozen=True)
class _Term:
    name: str
    coefficient: str  # of `CostModel`
    unit: str
    count: Callable[[Work], float]
    rate: str  # what one over the coefficient is; empty: nothing


_TERMS = (
    _Term("fixed", "fixed_s", "s a pass", lambda work: work.passes, ""),
    _Term("weights", "s_per_weight_byte", "s a byte", lambda work: work.weight_bytes, "GB/s"),
    _Term("products", "s_per_flop", "s a FLOP", lambda work: work.flops, "GFLOP/s"),
    _Term("attention", "s_per_attention_flop", "s a FLOP", lambda work: work.attention_flops,
          "GFLOP/s"),
    _Term("LoRA", "s_per_moved_parameter", "s a parameter", lambda work: work.moved_parameters, ""),
)  # fmt: skip


def terms_table(arms: Sequence[Fitted], model: CostModel, name: str) -> Table:
    """Each term, and its part of the seconds of the arms with the least and the most work."""
    ends = [pick(arms, key=lambda fit: fit.gigaflops) for pick in (min, max)] if arms else []
    return Table(
        f"Terms of {name} (fitted)",
        columns(
            "term",
            "#coefficient",
            "unit",
            "#attained",
            *(f"#part of {arm_name(fit.arm)}, %" for fit in ends),
            "told apart",
        ),
        [_row(term, model, ends) for term in _TERMS],
    )


def _row(term: _Term, model: CostModel, ends: Sequence[Fitted]) -> tuple[str | Cell, ...]:
    cost: float = getattr(model, term.coefficient)
    lost = term.coefficient in model.undetermined
    parts = (f"{100 * cost * term.count(fit.work) / fit.modelled:.1f}" for fit in ends)
    return (
        term.name,
        f"{cost:.3g}",
        term.unit,
        f"{1e-9 / cost:.3g} {term.rate}" if term.rate and cost else "",
        *parts,
        Cell("no", standing="suspect") if lost else "yes",
    )
