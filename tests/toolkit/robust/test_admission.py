"""Only answers that fit their orders come in, each once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from exporters.lora.support import EVERYTHING
from toolkit.protocol.order import Along, Answer, CatchUp, Failure, Order, Probes, Reply
from toolkit.robust.admission import AdmissionRules, Doorkeeper, without_huge

ORDER = Order(
    round_number=3,
    increment=1,
    version=2,
    sync=CatchUp(2, ()),
    values_sha256="a" * 64,
    batch=(0, 1),
    estimator="central",
    epsilon=0.01,
    probes=Probes((5, 6, 7), "rademacher", EVERYTHING, 1),
)
ANSWER = Answer(
    round_number=3,
    increment=1,
    values_sha256="a" * 64,
    slopes=np.array([0.1, -0.2, 0.3], dtype=np.float32),
    loss=1.2,
    along_slope=None,
    head_gradient=None,
    seconds=0.5,
    values_from="held",
)
RICH_ORDER = replace(ORDER, along=Along(1.0, ()), exact_head=True)
RICH_ANSWER = replace(ANSWER, along_slope=-0.1, head_gradient=np.ones(4, dtype=np.float32))


def slopes(*values, dtype=np.float32):
    return np.array(values, dtype=dtype)


def judge(answer, order=ORDER, rules=None):
    door = Doorkeeper(rules or AdmissionRules())
    door.expect({"phone": order})
    return door.judge([Reply("phone", answer)])


@pytest.mark.parametrize(("order", "answer"), [(ORDER, ANSWER), (RICH_ORDER, RICH_ANSWER)])
def test_an_answer_that_fits_comes_in(order, answer):
    judged = judge(answer, order)
    (admitted,) = judged.admitted
    assert admitted.client == "phone"
    assert admitted.order is order
    assert admitted.answer is answer
    assert not judged.failures
    assert not judged.refusals


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"slopes": slopes(0.1, 0.2)}, "malformed"),
        ({"slopes": slopes(0.1, 0.2, 0.3, 0.4)}, "malformed"),
        ({"slopes": slopes(0.1, 0.2, 0.3, dtype=np.float64)}, "malformed"),
        ({"slopes": slopes(0.1, 0.2, 0.3).reshape(1, 3)}, "malformed"),
        ({"slopes": [0.1, 0.2, 0.3]}, "malformed"),
        ({"slopes": None}, "malformed"),
        ({"loss": "low"}, "malformed"),
        ({"seconds": None}, "malformed"),
        ({"along_slope": 0.1}, "malformed"),
        ({"head_gradient": np.ones(4, dtype=np.float32)}, "malformed"),
        ({"slopes": slopes(0.1, np.nan, 0.3)}, "not_finite"),
        ({"slopes": slopes(0.1, np.inf, 0.3)}, "not_finite"),
        ({"loss": float("nan")}, "not_finite"),
        ({"seconds": float("inf")}, "not_finite"),
        ({"values_sha256": "b" * 64}, "wrong_hash"),
        ({"round_number": 2}, "unexpected"),
        ({"increment": 0}, "unexpected"),
        ({"round_number": "3"}, "malformed"),
        ({"increment": -1}, "malformed"),
        ({"increment": True}, "malformed"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused_and_no_other_is_taken_for_it(changes, reason):
    door = Doorkeeper(AdmissionRules())
    door.expect({"phone": ORDER})
    judged = door.judge([Reply("phone", replace(ANSWER, **changes)), Reply("phone", ANSWER)])
    refusal = judged.refusals[0]
    assert refusal.client == "phone"
    assert refusal.reason == reason
    assert refusal.detail
    # What names no order of this client leaves its order open.
    named = "round_number" not in changes and "increment" not in changes
    assert [one.reason for one in judged.refusals[1:]] == (["duplicate"] if named else [])
    assert [admitted.answer for admitted in judged.admitted] == ([] if named else [ANSWER])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"along_slope": None}, "malformed"),
        ({"head_gradient": None}, "malformed"),
        ({"head_gradient": np.ones(4)}, "malformed"),
        ({"along_slope": float("nan")}, "not_finite"),
        ({"head_gradient": slopes(1, np.nan)}, "not_finite"),
    ],
)
def test_the_other_parts_of_an_answer_are_checked_as_well(changes, reason):
    (refusal,) = judge(replace(RICH_ANSWER, **changes), RICH_ORDER).refusals
    assert refusal.reason == reason


def test_a_second_answer_is_a_duplicate_and_a_later_one_a_replay():
    door = Doorkeeper(AdmissionRules())
    door.expect({"phone": ORDER})
    twice = door.judge([Reply("phone", ANSWER), Reply("phone", ANSWER)])
    assert len(twice.admitted) == 1
    assert [refusal.reason for refusal in twice.refusals] == ["duplicate"]
    door.close_before(4)
    assert [each.reason for each in door.judge([Reply("phone", ANSWER)]).refusals] == ["unexpected"]


def test_another_clients_answer_is_not_this_ones():
    door = Doorkeeper(AdmissionRules())
    door.expect({"phone": ORDER})
    judged = door.judge([Reply("stranger", ANSWER), Reply("phone", ANSWER)])
    assert [(each.client, each.reason) for each in judged.refusals] == [("stranger", "unexpected")]
    assert len(judged.admitted) == 1


def test_a_late_answer_comes_in_until_its_round_is_closed():
    door = Doorkeeper(AdmissionRules())
    door.expect({"slow": ORDER, "slower": ORDER})
    door.close_before(3)
    assert len(door.judge([Reply("slow", ANSWER)]).admitted) == 1
    door.close_before(4)
    assert not door.judge([Reply("slower", ANSWER)]).admitted


def test_a_failure_is_no_refusal_and_the_order_may_be_sent_again():
    door = Doorkeeper(AdmissionRules())
    door.expect({"phone": ORDER})
    failure = Reply("phone", Failure(3, 1, "its replica is stale", stale_replica=True))
    assert door.judge([failure]).failures == [failure]
    assert [each.reason for each in door.judge([failure]).refusals] == ["duplicate"]
    door.expect({"phone": ORDER})
    assert len(door.judge([Reply("phone", ANSWER)]).admitted) == 1


def test_a_withheld_loss_may_be_nan():
    private = replace(ANSWER, loss=float("nan"))
    assert judge(private, rules=AdmissionRules(loss="withheld")).admitted


# Magnitudes.


def admitted(order, answers):
    door = Doorkeeper(AdmissionRules())
    door.expect({f"phone-{i}": order for i in range(len(answers))})
    return door.judge([Reply(f"phone-{i}", answer) for i, answer in enumerate(answers)]).admitted


@pytest.mark.parametrize(
    "changes",
    [
        {"slopes": slopes(0.1, -0.2, 300)},
        {"slopes": slopes(3e38, -3e38, 3e38)},
        {"along_slope": 50.0},
        {"head_gradient": 500 * np.ones(4, dtype=np.float32)},
    ],
)
def test_what_is_out_of_proportion_is_refused(changes):
    answers = [RICH_ANSWER] * 4 + [replace(RICH_ANSWER, **changes)]
    kept, refusals = without_huge(admitted(RICH_ORDER, answers), AdmissionRules())
    assert [one.client for one in kept] == [f"phone-{i}" for i in range(4)]
    assert [(each.client, each.reason) for each in refusals] == [("phone-4", "huge")]


def test_the_bound_is_a_choice():
    answers = [ANSWER] * 4 + [replace(ANSWER, slopes=10 * ANSWER.slopes)]
    everyone = admitted(ORDER, answers)
    assert len(without_huge(everyone, AdmissionRules(magnitude=20))[0]) == 5
    assert len(without_huge(everyone, AdmissionRules(magnitude=5))[0]) == 4
    assert len(without_huge(everyone, AdmissionRules(magnitude=None))[0]) == 5


def test_two_clients_cannot_say_who_is_right():
    answers = [ANSWER, replace(ANSWER, slopes=1e6 * ANSWER.slopes)]
    assert len(without_huge(admitted(ORDER, answers), AdmissionRules())[0]) == 2


def test_where_all_slopes_are_zero_nothing_is_huge():
    answers = [replace(ANSWER, slopes=slopes(0, 0, 0))] * 4 + [ANSWER]
    assert len(without_huge(admitted(ORDER, answers), AdmissionRules())[0]) == 5
