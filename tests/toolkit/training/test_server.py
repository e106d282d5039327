"""The server's rounds over clients with known losses: pacing, faults, hostility, continuation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from quadratic import INITIAL, LAYOUT, QuadraticClient, QuadraticEvaluator, QuadraticFleet, loss

from android_harness.errors import DeviceError
from exporters.lora.support import Support
from toolkit.errors import TrainingError
from toolkit.pacing.fwdllm_gate import FwdllmGate
from toolkit.pacing.slope_test import SlopeTest
from toolkit.protocol.order import CatchUp, Reply, Snapshot
from toolkit.robust.admission import AdmissionRules
from toolkit.robust.aggregation import ClippedMean, MedianOfMeans, TrimmedMean
from toolkit.sampling.seed_pool import SeedPool
from toolkit.sampling.tensor_filter import TensorFilter
from toolkit.server_update.guard import DivergenceGuard
from toolkit.server_update.guided import GuidedStep
from toolkit.server_update.head import HeadAdam
from toolkit.server_update.momentum import MomentumStep
from toolkit.server_update.sgd import SgdStep
from toolkit.server_update.trust_ratio import TrustRatioStep
from toolkit.server_update.yogi import YogiStep
from toolkit.training.contract import Evaluation, TrainingConfig
from toolkit.training.replay import replay
from toolkit.training.run_folder import RunFolder
from toolkit.training.run_on_fleet import run_on_fleet
from toolkit.training.setup import begin_or_continue
from toolkit.training.shares import equal_parts, shares_of

NAMES = ("a", "b", "c", "d", "e")
UPDATES = {
    "trust_ratio": TrustRatioStep(ratio=0.2),
    "sgd": SgdStep(rate=0.1),
    "momentum": MomentumStep(ratio=0.2),
    "guided": GuidedStep(ratio=0.2),
    "yogi": YogiStep(rate=0.05),
}


_EVALUATOR = QuadraticEvaluator()


class Killed(BaseException):
    """Ends the process as far as the code under test can tell."""


@pytest.fixture
def clients():
    return [QuadraticClient(name, noise=0.05) for name in NAMES]


@pytest.fixture
def run(clients, tmp_path):
    """Runs a few rounds; keywords change the configuration."""

    def start(
        *,
        out="run",
        fleet=None,
        on_round=None,
        names=NAMES,
        evaluator=_EVALUATOR,
        spare=0,
        **settings,
    ):
        settings = {"rounds": 4, "probes": 20, "batch": 3, "evaluate_every": 1} | settings
        config = TrainingConfig(**settings)
        fleet = fleet or QuadraticFleet(clients)
        handed_out = config.model_copy(update={"probes": config.probes + spare})
        folder = RunFolder(tmp_path / out)
        begin_or_continue(
            folder,
            model_sha256="0" * 64,
            layout=LAYOUT,
            initial=INITIAL,
            config=config,
            shares=shares_of(equal_parts(names, handed_out, LAYOUT), fleet.members()),
        )
        return run_on_fleet(fleet, folder, evaluator=evaluator, on_round=on_round)

    return start


@pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES.keys())
def test_every_rule_lowers_the_loss_and_replays_to_the_same_bits(run, tmp_path, update):
    result = run(rounds=12, update=update)
    assert loss(result.values) < 0.8 * loss(INITIAL)
    assert replay(tmp_path / "run").tobytes() == result.values.tobytes()


@pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES.keys())
def test_every_replica_follows_to_the_bit(run, clients, update):
    run(update=update)
    held = {client.state.values.tobytes() for client in clients}
    assert len(held) == 1 and INITIAL.tobytes() not in held
    for client in clients:
        assert client.version == 3
        snapshots = [isinstance(order.sync, Snapshot) for order in client.orders]
        assert not any(snapshots) or update.kind == "yogi"


@pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES.keys())
@pytest.mark.parametrize("checkpoint_every", [1, 3])
@pytest.mark.parametrize("in_round", [1, 2, 4])
def test_a_server_killed_within_a_round_resumes_to_the_same_values(
    run, clients, update, checkpoint_every, in_round
):
    settings = {"update": update, "pacing": SlopeTest(), "checkpoint_every": checkpoint_every}
    whole = run(
        out="whole", fleet=QuadraticFleet([QuadraticClient(n, 0.05) for n in NAMES]), **settings
    )

    def kill(order):
        if order.round_number == in_round:
            raise Killed

    clients[2].before = kill
    with pytest.raises(Killed):
        run(**settings)
    clients[2].before = lambda order: None
    resumed = run(**settings)
    assert resumed.values.tobytes() == whole.values.tobytes()
    assert [r.values_sha256 for r in resumed.rounds] == [r.values_sha256 for r in whole.rounds]


def test_a_gate_asks_idle_clients_first_and_repeats_nothing(run, clients):
    result = run(rounds=1, clients=2, probes=4, pacing=FwdllmGate(tau=1e-6, most_increments=4))
    record = result.rounds[1]
    assert [step.commit for step in record.pacing] == [False, False, False, True]
    per_increment = [
        {one.client for one in record.measurements if one.increment == number}
        for number in range(4)
    ]
    assert len(per_increment[0]) == 2
    assert not per_increment[1] & per_increment[0]
    assert set.union(*per_increment) == set(NAMES)
    names = [name for one in record.measurements for name in one.directions]
    assert len(set(names)) == len(names) == record.probes
    # As published, a client's further probes are on the batch of its first.
    for client in clients:
        assert len({order.batch for order in client.orders}) == 1


def test_a_slope_test_measures_on_fresh_batches_and_commits_downhill(run, clients):
    result = run(rounds=2, probes=5, pacing=SlopeTest(threshold=3.0))
    for record in result.rounds[1:]:
        assert record.committed
        last = max(one.increment for one in record.along)
        slopes = [one.slope for one in record.along if one.increment == last]
        assert np.mean(slopes) < 0
    for client in clients:
        probed = {order.batch for order in client.orders if order.probes}
        checked = {order.batch for order in client.orders if order.along and not order.probes}
        assert checked and not probed & checked


def test_a_round_that_points_uphill_commits_nothing(run, clients):
    def reverse(answer):
        along = answer.along_slope
        return replace(answer, along_slope=None if along is None else abs(along))

    for client in clients:
        client.change = reverse
    result = run(rounds=2, pacing=SlopeTest(most_increments=2))
    assert not any(record.committed for record in result.rounds)
    assert result.values.tobytes() == INITIAL.tobytes()


def test_the_guide_is_measured_from_the_second_round_on(run):
    result = run(update=GuidedStep(ratio=0.1))
    assert not result.rounds[1].along
    assert all(
        {one.of for one in record.along} == {"momentum"} and len(record.along) == len(NAMES)
        for record in result.rounds[2:]
    )


def test_sampling_by_an_earlier_gradient_names_tensors(run, tmp_path):
    result = run(sampling=TensorFilter(candidates=4))
    assert all(isinstance(n, int) for one in result.rounds[1].measurements for n in one.directions)
    names = [n for one in result.rounds[2].measurements for n in one.directions]
    assert all(len(name) == len(LAYOUT.tensors) for name in names)
    assert replay(tmp_path / "run").tobytes() == result.values.tobytes()


def test_a_seed_pool_bounds_the_directions(run):
    result = run(rounds=6, sampling=SeedPool(size=24))
    names = {n for r in result.rounds for one in r.measurements for n in one.directions}
    assert len(names) <= 24 < sum(record.probes for record in result.rounds)


def test_shared_directions_are_the_same_for_all(run):
    result = run(shared_directions=True, probes=10)
    for record in result.rounds[1:]:
        assert len({one.directions for one in record.measurements}) == 1


def test_split_layers_move_each_clients_own(run):
    result = run(split_layers=True, rounds=1)
    layers = [one.support.layers for one in result.rounds[1].measurements]
    assert layers == [(0, 0), (1, 1), (0, 0), (1, 1), (0, 0)]
    assert result.rounds[1].committed


def test_what_lies_outside_the_support_stays(run):
    result = run(support=Support(layers=(1, 1), matrices="B", head=False))
    changed = np.flatnonzero(result.values != INITIAL)
    assert set(changed) <= set(range(24, 32)) and len(changed)


def test_an_exact_head_moves_by_its_gradient_and_the_rest_by_probes(run, tmp_path):
    support = Support(head=False)
    result = run(rounds=8, support=support, head=HeadAdam(rate=0.2))
    assert loss(result.values) < 0.8 * loss(INITIAL)
    assert all(record.head_gradient for record in result.rounds[1:])
    assert replay(tmp_path / "run").tobytes() == result.values.tobytes()


def test_some_clients_are_drawn_anew_for_each_round(run):
    result = run(rounds=8, clients=2, probes=4)
    asked = [frozenset(one.client for one in r.measurements) for r in result.rounds[1:]]
    assert all(len(clients) == 2 for clients in asked)
    assert len(set(asked)) > 2


def test_a_silent_client_is_lost_and_the_round_goes_on(run, clients):
    result = run(fleet=QuadraticFleet(clients, silent={"c"}))
    for record in result.rounds[1:]:
        assert [one.client for one in record.lost] == ["c"]
        assert "deadline" in record.lost[0].reason
        assert record.probes == 16


def test_spare_probes_shorten_a_round(run, clients, tmp_path):
    """25 are handed out, 20 are wanted: one of the five clients need not be waited for."""
    result = run(fleet=QuadraticFleet(clients, late={"c"}), spare=5)
    for record in result.rounds[1:]:
        assert record.probes == 20
        lost = [one for one in record.lost if "enough" in one.reason]
        assert [one.client for one in lost] == ["c"]
    assert replay(tmp_path / "run").tobytes() == result.values.tobytes()


def test_without_a_straggler_spare_probes_count_too(run, clients):
    result = run(fleet=QuadraticFleet(clients), spare=5)
    assert {record.probes for record in result.rounds[1:]} == {25}


def test_late_slopes_count_less_within_the_bound(run, clients, tmp_path):
    result = run(fleet=QuadraticFleet(clients, late={"c"}), staleness=1)
    late = [one for r in result.rounds for one in r.measurements if one.asked_in < r.round]
    assert late
    assert {one.client for one in late} == {"c"}
    assert {one.weight for one in late} == {2**-0.5}
    assert replay(tmp_path / "run").tobytes() == result.values.tobytes()


def test_late_slopes_do_not_change_an_update_that_is_being_checked(run, clients, tmp_path):
    fleet = QuadraticFleet(clients, late={"c"})
    result = run(fleet=fleet, staleness=1, pacing=SlopeTest(), rounds=6)
    assert any(one.client == "c" for r in result.rounds for one in r.measurements)
    assert replay(tmp_path / "run").tobytes() == result.values.tobytes()


def test_late_slopes_beyond_the_bound_are_refused(run, clients):
    result = run(fleet=QuadraticFleet(clients, late={"c"}))
    assert all(one.client != "c" for r in result.rounds for one in r.measurements)
    reasons = [one.reason for r in result.rounds for one in r.lost]
    assert any("unexpected" in reason for reason in reasons)


def test_a_replica_that_went_astray_is_mended_by_a_snapshot(run, clients):
    def stray(order):
        if order.round_number == 3 and isinstance(order.sync, CatchUp):
            clients[1].state = replace(clients[1].state, values=INITIAL + 1)

    clients[1].before = stray
    result = run()
    mended = next(one for one in result.rounds[3].measurements if one.client == "b")
    assert mended.values_from == "snapshot"
    assert not result.rounds[3].lost


def test_an_absent_client_catches_up_by_the_log(run, clients):
    def away(order):
        if order.round_number in (2, 3):
            raise DeviceError("away", device="b")

    clients[1].before = away
    result = run(probes=5)
    back = next(one for one in result.rounds[4].measurements if one.client == "b")
    assert back.values_from == "updates"
    assert len(clients[1].orders[-1].sync.updates) == 3


HOSTILE = {
    "nan": lambda answer: replace(answer, slopes=answer.slopes * np.float32("nan")),
    "huge": lambda answer: replace(answer, slopes=answer.slopes * np.float32(1e6)),
    "too_many": lambda answer: replace(answer, slopes=np.zeros(99, dtype=np.float32)),
    "wrong_hash": lambda answer: replace(answer, values_sha256="f" * 64),
    "wrong_round": lambda answer: replace(answer, round_number=answer.round_number + 7),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_answer_is_refused_logged_and_without_effect(run, clients, change):
    clients[4].change = change
    hostile = run(out="hostile", admission=AdmissionRules(magnitude=20.0))
    assert all(any(one.client == "e" for one in r.lost) for r in hostile.rounds[1:])
    honest = run(
        out="honest",
        admission=AdmissionRules(magnitude=20.0),
        fleet=QuadraticFleet([QuadraticClient(n, 0.05) for n in NAMES], silent={"e"}),
    )
    assert hostile.values.tobytes() == honest.values.tobytes()


def test_liars_that_shift_the_median_do_not_change_an_update_that_was_proposed(tmp_path, run):
    """Without the largest, others turn out to be huge: all before the update is proposed."""
    names = ("a", "b", "c", "d", "e", "f", "g")
    clients = [QuadraticClient(name) for name in names]
    for client, factor in zip(clients, (1, 1, 1, 3, 150, 250, 1e6), strict=True):
        client.change = lambda answer, factor=factor: replace(
            answer, slopes=answer.slopes * np.float32(factor)
        )
    result = run(names=names, fleet=QuadraticFleet(clients), probes=70, pacing=SlopeTest())
    assert replay(tmp_path / "run").tobytes() == result.values.tobytes()


def test_a_held_out_loss_that_is_no_number_can_be_read_back(run, tmp_path):
    class Nothing:
        def evaluate(self, values):
            return Evaluation(loss=float("nan"), accuracy=None, positions=1, seconds=0.0)

    run(evaluator=Nothing(), guard=DivergenceGuard())
    assert np.isnan(RunFolder(tmp_path / "run").rounds()[0].evaluation.loss)


def test_a_guard_without_evaluations_ends_with_the_last_values(run):
    settings = {
        "rounds": 40,
        "update": TrustRatioStep(ratio=0.9, annealing="none"),
        "guard": DivergenceGuard(most_stretch=2.5),
        "evaluator": None,
    }
    result = run(**settings)
    assert result.rounds[-1].stopped
    assert run(**settings).values.tobytes() == result.values.tobytes()


def test_a_second_process_is_kept_out_of_the_folder(run, tmp_path):
    def again(record):
        with pytest.raises(TrainingError, match="another process"):
            run()
        raise Killed

    with pytest.raises(Killed):
        run(on_round=again)
    assert len(run().rounds) == 5


def test_an_update_that_is_not_finite_ends_the_run_before_it_is_logged(run, tmp_path):
    clients = [QuadraticClient(name) for name in NAMES[:2]]
    clients[0].change = lambda answer: replace(answer, slopes=answer.slopes * 0 + np.float32(3e38))
    with pytest.raises(TrainingError, match="not finite"):
        run(names=NAMES[:2], fleet=QuadraticFleet(clients), update=SgdStep(rate=100.0))
    assert len(RunFolder(tmp_path / "run").rounds()) == 1


def test_a_step_that_is_a_share_of_nothing_is_refused(tmp_path):
    config = TrainingConfig(rounds=2, probes=10, batch=3, update=TrustRatioStep())
    fleet = QuadraticFleet([QuadraticClient(name) for name in NAMES])
    zero = np.zeros_like(INITIAL)
    for client in fleet.clients:
        client.state = replace(client.state, values=zero)
    folder = RunFolder(tmp_path / "run")
    begin_or_continue(
        folder,
        model_sha256="0" * 64,
        layout=LAYOUT,
        initial=zero,
        config=config,
        shares=shares_of(equal_parts(NAMES, config, LAYOUT), fleet.members()),
    )
    with pytest.raises(TrainingError, match="sgd or yogi"):
        run_on_fleet(fleet, folder)


def test_all_bytes_are_counted_also_of_what_was_lost(run, clients):
    whole = run(out="whole")
    lossy = run(
        out="lossy",
        fleet=QuadraticFleet([QuadraticClient(n, 0.05) for n in NAMES], silent={"c"}),
    )
    assert lossy.rounds[1].bytes_down == whole.rounds[1].bytes_down
    assert lossy.rounds[1].bytes_up < whole.rounds[1].bytes_up


def test_duplicates_and_replays_are_refused(run, clients):
    fleet = QuadraticFleet(clients)
    seen = []

    def remember(answer):
        seen.append(answer)
        fleet.extra.append(Reply("a", seen[0]))  # the first answer, again and again
        return answer

    clients[0].change = remember
    result = run(fleet=fleet)
    assert all(
        [one.client for one in record.measurements].count("a") == 1 for record in result.rounds[1:]
    )
    reasons = [one.reason for record in result.rounds for one in record.lost]
    assert any("duplicate" in reason or "unexpected" in reason for reason in reasons)


@pytest.mark.parametrize(
    "aggregation", [ClippedMean(), TrimmedMean(), MedianOfMeans()], ids=lambda rule: rule.kind
)
def test_one_liar_in_five_does_not_keep_a_robust_run_from_learning(
    run, clients, tmp_path, aggregation
):
    """The lie is below what admission refuses: 50 times the slope, with the other sign."""
    clients[4].change = lambda answer: replace(answer, slopes=answer.slopes * np.float32(-50))
    settings = {"rounds": 12, "probes": 100, "update": TrustRatioStep(ratio=0.2)}
    robust = run(out="robust", aggregation=aggregation, **settings)
    plain = run(out="plain", **settings)
    assert loss(robust.values) < 0.7 * loss(INITIAL) < loss(plain.values)
    assert replay(tmp_path / "robust").tobytes() == robust.values.tobytes()


def test_a_guard_stops_a_diverging_run_and_keeps_its_best(run, tmp_path):
    result = run(
        rounds=40,
        update=TrustRatioStep(ratio=0.9, annealing="none"),
        guard=DivergenceGuard(most_stretch=2.5),
    )
    last = result.rounds[-1]
    assert last.stopped and last.round < 40
    best = min((r.evaluation.loss, r.round) for r in result.rounds)
    assert loss(result.values) == pytest.approx(best[0])
    again = run(
        rounds=40,
        update=TrustRatioStep(ratio=0.9, annealing="none"),
        guard=DivergenceGuard(most_stretch=2.5),
    )
    assert again.values.tobytes() == result.values.tobytes()
