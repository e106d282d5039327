"""When the numbers of a backend can be trusted, one rule a reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from device_bench.numerics.contract import Numerics
from device_bench.policies.row_findings import POLICIES
from device_bench.profiles.profile import ArmSummary, Sustained, Verdict
from device_bench.statistics import MINIMUM_FOR_INTERVAL

LIFETIME = timedelta(days=7)
SHORTEST_SUSTAINED_S = 600.0


@dataclass(frozen=True)
class Evidence:
    """What the rules look at."""

    arms: Sequence[ArmSummary]
    jobs_planned: int
    jobs_measured: int
    cost_error: float | None  # held-out relative error of the worst model; None: not known
    cost_determined: bool  # of every model; False without any
    age: timedelta  # of the newest sample
    cores: int | None  # that the threads may use; None when unknown
    imprecise_arms: int  # that were measured as often as they may be, in vain
    unsettled_share: float  # of the jobs of an arm, in the worst arm
    numerics: Numerics | None = None  # None: measured before there was a numeric gate
    sustained: Sustained | None = None  # None: not measured

    @property
    def widest_spread(self) -> float:
        return max(arm.relative_spread for arm in self.arms)


@dataclass(frozen=True)
class Rule:
    """A reason not to trust the numbers, how bad it is, what it means and what helps."""

    reason: str
    verdict: Verdict
    meaning: str
    remedy: str
    applies: Callable[[Evidence], bool]


def _too_few_jobs(evidence: Evidence) -> bool:
    return min(arm.jobs or 0 for arm in evidence.arms) < MINIMUM_FOR_INTERVAL


def _cost_error_above(limit: float) -> Callable[[Evidence], bool]:
    return lambda evidence: evidence.cost_error is not None and evidence.cost_error > limit


def _more_threads_than_cores(evidence: Evidence) -> bool:
    return evidence.cores is not None and max(arm.threads for arm in evidence.arms) > evidence.cores


def _in_a_row(reason: str) -> Callable[[Evidence], bool]:
    return lambda evidence: any(reason in arm.reasons for arm in evidence.arms)


def _sustained_too_short(evidence: Evidence) -> bool:
    run = evidence.sustained
    return run is not None and run.seconds < SHORTEST_SUSTAINED_S


_CALM_DOWN = (
    "close other programs, let the device cool, and measure into a new folder with more --blocks"
)
_MORE_ARMS = (
    "measure at least two values each of --batch, --tokens and --directions, with all layers moving"
)
_NEARER_ARMS = (
    "measure arms nearer to each other and to what you will run, or longer ones with --minimum-ms"
)

_OR_TIME_ANYWAY = "--time-anyway times it all the same, and its profile stays invalid"

LOSS_NOT_AS_EXPORTED = Rule(
    "loss-not-as-exported",
    "invalid",
    "the backend computes another loss than the export's engine did of the same tokens, or none",
    "measure on another backend or on the CPU, renew the device's drivers, or export the bundle "
    f"again; {_OR_TIME_ANYWAY}",
    lambda e: e.numerics is not None and not e.numerics.loss_as_exported,
)
SLOPES_ARE_NOISE = Rule(
    "slopes-are-noise",
    "invalid",
    "of all estimators that were measured, the slopes are off by as much as they are long: a slope "
    "is worth less than half an exact one",
    "measure tangents (--estimator all), or export the bundle with a finer --quant; "
    f"{_OR_TIME_ANYWAY}",
    lambda e: e.numerics is not None and e.numerics.slopes_are_noise,
)

RULES = (
    LOSS_NOT_AS_EXPORTED,
    SLOPES_ARE_NOISE,
    Rule(
        "incomplete-sweep",
        "suspect",
        "jobs of the sweep are missing, so that blocks are no longer spread over all arms alike",
        "run the same fwdllm bench command again: it measures what is missing",
        lambda e: e.jobs_measured < e.jobs_planned,
    ),
    Rule(
        "too-few-jobs",
        "suspect",
        f"an arm has fewer than {MINIMUM_FOR_INTERVAL} jobs, and no interval of their "
        "median has a confidence of 95 %",
        "measure with more --blocks",
        _too_few_jobs,
    ),
    Rule(
        "warm-up-not-settled",
        "suspect",
        "half of an arm's jobs or more began to count before their repetitions took alike, so that "
        "its median may be that of a start or of a device that slows down",
        "give --warmup-seconds more time, or let the device cool and rest from other work",
        lambda e: e.unsettled_share >= 0.5,
    ),
    Rule(
        "precision-not-reached",
        "suspect",
        "an arm was measured as often as it may be, and its median is not known as precisely as "
        "was asked for (--precision)",
        "close other programs, let the device cool, and measure into a new folder, with more "
        "--most-blocks or longer repetitions (--minimum-ms)",
        lambda e: e.imprecise_arms > 0,
    ),
    Rule(
        "spread-above-10-percent",
        "suspect",
        "repetitions of an arm differ by more than 10 % (1.4826 · MAD / median)",
        _CALM_DOWN,
        lambda e: e.widest_spread > 0.1,
    ),
    Rule(
        "spread-above-50-percent",
        "invalid",
        "repetitions of an arm differ by more than 50 %: its median says next to nothing",
        _CALM_DOWN,
        lambda e: e.widest_spread > 0.5,
    ),
    Rule(
        "cost-terms-undetermined",
        "suspect",
        "the arms do not tell the terms of the cost model apart, so that it holds at the measured "
        "settings and guesses at others",
        _MORE_ARMS,
        lambda e: not e.cost_determined,
    ),
    Rule(
        "cost-model-error-above-20-percent",
        "suspect",
        "the cost model misses arms that it has not seen by more than 20 % in the median",
        _NEARER_ARMS,
        _cost_error_above(0.2),
    ),
    Rule(
        "cost-model-error-above-50-percent",
        "invalid",
        "the cost model misses arms that it has not seen by more than 50 % in the median",
        _NEARER_ARMS,
        _cost_error_above(0.5),
    ),
    Rule(
        "samples-older-than-7-days",
        "suspect",
        f"the newest sample was older than {LIFETIME.days} days when the profile was fitted",
        "measure into a new folder",
        lambda e: e.age > LIFETIME,
    ),
    Rule(
        "more-threads-than-cores",
        "suspect",
        "threads wait for each other, since there are more of them than cores they may use",
        "measure with fewer --threads",
        _more_threads_than_cores,
    ),
    Rule(
        "sustained-run-too-short",
        "suspect",
        f"the long run took less than {SHORTEST_SUSTAINED_S:.0f} s: phones throttle later",
        "measure with --sustained-minutes 10 or more",
        _sustained_too_short,
    ),
    Rule(
        "sustained-still-slowing",
        "suspect",
        "the last third of the long run still grew slower, so that the sustained factor is too low",
        "measure with more --sustained-minutes",
        lambda e: e.sustained is not None and not e.sustained.flattened,
    ),
    Rule(
        "sustained-faster-than-burst",
        "suspect",
        "the long run was faster than the sweep, which no heat explains: something disturbed the "
        "sweep, and the sustained factor promises too much",
        "close other programs, and measure into a new folder",
        lambda e: e.sustained is not None and e.sustained.factor.high < 1,
    ),
    *(
        Rule(each.reason, "suspect", each.meaning, each.remedy, _in_a_row(each.reason))
        for each in POLICIES
    ),
)


def judge(evidence: Evidence) -> tuple[Verdict, tuple[str, ...]]:
    """The worst verdict of the rules that apply, and their reasons in the order of `RULES`."""
    broken = [rule for rule in RULES if rule.applies(evidence)]
    verdicts = {rule.verdict for rule in broken}
    verdict: Verdict = (
        "invalid" if "invalid" in verdicts else "suspect" if "suspect" in verdicts else "valid"
    )
    return verdict, tuple(rule.reason for rule in broken)


def rule_of(reason: str) -> Rule | None:
    """The rule behind a reason of a verdict; None: this version has no such rule."""
    return next((rule for rule in RULES if rule.reason == reason), None)
