"""Whether the backend computes what was exported: its loss, and its slopes as signal and noise."""

from __future__ import annotations

from device_bench.numerics.contract import EstimatorNumerics, NumericEvidence, Numerics, SlopeError
from device_bench.profiles.profile import BackendProfile
from toolkit.report.content import Cell, Section, Table, columns
from toolkit.report.device.calibration import calibration_plots
from toolkit.report.wording import UNKNOWN

_NOT_LOOKED_AT = "measured before there was a numeric gate"


def numerics_part(
    backend: BackendProfile, evidence: NumericEvidence | None, anchor: str
) -> Section:
    """What the numeric gate found before anything was timed.

    Args:
        evidence: of the samples, from which the calibration is drawn; None: there is none.
    """
    title, own_anchor = "Numbers before time (measured)", f"{anchor}_numerics"
    found = backend.numerics
    if found is None:
        return Section(title, own_anchor, [("numeric gate", _NOT_LOOKED_AT)])
    facts = list(_loss_facts(found))
    if not found.estimators:
        return Section(title, own_anchor, facts)
    facts.append(("usable for training", usable_text(found)))
    plots = calibration_plots(evidence) if evidence is not None else []
    return Section(title, own_anchor, facts, plots=plots, tables=[_table(backend, found)])


def usable_text(found: Numerics) -> str:
    """The estimators whose slopes are signal."""
    usable = [each.estimator for each in found.estimators if each.usable]
    return ", ".join(usable) or "none"


def _loss_facts(found: Numerics) -> list[tuple[str, str | Cell]]:
    passed = found.loss_as_exported
    facts: list[tuple[str, str | Cell]] = [
        (
            "loss as exported",
            Cell("yes" if passed else "no", standing="valid" if passed else "invalid"),
        ),
        ("loss", UNKNOWN if found.loss is None else f"{found.loss:.6g} nats"),
    ]
    if found.failure is not None:
        facts.append(("the backend said", found.failure))
    if found.loss_difference is not None and found.loss_tolerance is not None:
        facts.append(
            (
                "farthest from the export's",
                f"{found.loss_difference:.2g} nats of {found.loss_tolerance:.2g} allowed",
            )
        )
    elif found.loss is not None:
        facts.append(("export's own loss", "not in the bundle, so only a number was asked for"))
    if found.loss_repeatability is not None:
        spread = found.loss_repeatability
        words = f"{spread:.2g} nats (standard deviation)" if spread else "equal to the last bit"
        facts.append(("the same loss again", words))
    return facts


def _table(backend: BackendProfile, found: Numerics) -> Table:
    return Table(
        f"{backend.backend}: slopes by estimator, in nats per unit of direction (root mean square)",
        columns(
            "estimator",
            "for training",
            "#ε",
            "#signal",
            "#noise",
            "noise told by",
            "#signal to noise",
            "#relative slope error",
            "#between processes",
            "#directions",
        ),
        [_row(each, backend.slope_error(each.estimator)) for each in found.estimators],
    )


def _row(found: EstimatorNumerics, error: SlopeError | None) -> tuple[str | Cell, ...]:
    ratio = found.signal_to_noise
    return (
        found.estimator,
        Cell("usable", standing="valid") if found.usable else Cell("noise", standing="invalid"),
        "" if found.epsilon is None else f"{found.epsilon:.2g}",
        f"{found.signal:.3g}",
        f"{found.noise:.3g}",
        found.noise_from,
        "no noise seen" if ratio is None else f"{ratio:.3g}",
        "" if error is None else f"{error.relative_error:.2g}",
        f"{found.repeat_noise:.2g}",
        str(found.directions),
    )
