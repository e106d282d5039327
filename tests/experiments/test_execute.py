"""Counting what rounds cost, and small runs of both kinds."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.contract import BackpropRun, EncoderModel, Experiment, ForwardRun, Problem
from experiments.execute import backprop_round, execute, forward_round
from experiments.problem import Ready
from exporters.lora.support import Support
from tests.toolkit.simulation.encoders import labelled_store, tuned
from toolkit.backprop.contract import BackpropConfig, BackpropRound, FedSgd
from toolkit.data.partition_even import IidPartition
from toolkit.server_update.head import HeadSgd
from toolkit.server_update.sgd import SgdStep
from toolkit.simulation.encoder_model import EncoderTuning
from toolkit.simulation.evaluator import TorchEvaluator
from toolkit.training.contract import AlongSlope, Measurement, RoundRecord, TrainingConfig


class SmallBench:
    """A random encoder with two clients, whatever the problem."""

    def ready(self, problem):
        model = tuned()
        examples = model.prepare(labelled_store())
        clients = {"a": np.array([0, 1, 2]), "b": np.array([3, 4, 5])}
        return Ready(model, examples, clients, TorchEvaluator(model, examples), 7.5)


def experiment_of(run):
    problem = Problem(model=EncoderModel(tuning=EncoderTuning(classes=3)), partition=IidPartition())
    return Experiment(group="test", method="a b", problem=problem, run=run)


FORWARD = TrainingConfig(
    rounds=3,
    probes=4,
    batch=2,
    estimator="tangent",
    support=Support(head=False),
    update=SgdStep(rate=0.1),
    head=HeadSgd(rate=0.5),
    evaluate_every=1,
)


def test_a_forward_run_counts_its_passes(tmp_path):
    seen = []
    result = execute(experiment_of(ForwardRun(config=FORWARD)), SmallBench(), tmp_path, seen.append)
    assert [one.round for one in result.rounds] == [0, 1, 2, 3]
    assert seen == list(result.rounds)
    model = tuned()
    assert result.parameters == model.parameters
    for one in result.rounds[1:]:
        assert (one.clients, one.probes) == (2, 4)
        # Two directions and the pass that they share, on two clients.
        assert one.forward_passes == 2 * 3
        assert one.examples == 2 * 3 * 2
        assert one.slowest_forward == 3 * 2
        assert one.accuracy is not None
        assert one.bytes_up > 0 and one.bytes_down > 0


def test_a_forward_run_continues_where_it_ended(tmp_path):
    experiment = experiment_of(ForwardRun(config=FORWARD))

    class StopError(Exception):
        pass

    def stop(one):
        if one.round == 2:
            raise StopError

    whole = execute(experiment, SmallBench(), tmp_path / "whole", lambda one: None)
    with pytest.raises(StopError):
        execute(experiment, SmallBench(), tmp_path / "half", stop)
    seen = []
    result = execute(experiment, SmallBench(), tmp_path / "half", seen.append)
    assert [one.round for one in seen] == [3]
    # Clients of a new process hold the initial values, and are sent what they lack.
    assert [one.loss for one in result.rounds] == [one.loss for one in whole.rounds]


def test_a_baseline_runs_on_the_same_clients(tmp_path):
    config = BackpropConfig(rounds=2, batch=2, method=FedSgd())
    result = execute(experiment_of(BackpropRun(config=config)), SmallBench(), tmp_path, print)
    assert [one.backward_passes for one in result.rounds] == [0, 2, 2]
    assert result.rounds[1].examples == 4
    assert result.final_accuracy == result.rounds[-1].accuracy


def measurement(client, directions, increment=0):
    return Measurement(
        client=client,
        asked_in=1,
        increment=increment,
        distribution="rademacher",
        support=Support(),
        directions=tuple(range(directions)),
        slopes=(0.0,) * directions,
        weight=1.0,
        loss=1.0,
        values_from="held",
        seconds=0.0,
        bytes_down=1,
        bytes_up=1,
    )


@pytest.mark.parametrize(
    ("estimator", "head", "passes", "slowest"),
    [
        ("central", None, 2 * 3 + 2 * 2 + 2 * 1 + 2 * 1, 2 * 3 + 2 * 2 + 2 * 1),
        ("central", HeadSgd(), 2 * 3 + 2 * 2 + 2 * 1 + 2 * 1 + 2, 2 * 3 + 2 * 2 + 2 * 1 + 1),
        ("tangent", None, 4 + 3 + 2 + 2, 4 + 3 + 2),
        ("tangent", HeadSgd(), 4 + 3 + 2 + 2, 4 + 3 + 2),
    ],
)
def test_every_order_counts(estimator, head, passes, slowest):
    """One client probes 3 directions, then 2 more and one along; another probes 1."""
    record = RoundRecord(
        round=1,
        loss=1.0,
        probes=6,
        gradient_norm=1,
        values_norm=1,
        step_norm=1,
        values_sha256="",
        seconds=0,
        bytes_down=0,
        bytes_up=0,
        measurements=(measurement("a", 3), measurement("b", 1), measurement("a", 2, increment=2)),
        along=(AlongSlope(client="a", increment=1, of="update", slope=0.0),),
    )
    config = TrainingConfig(rounds=1, batch=8, estimator=estimator, head=head)
    found = forward_round(record, config)
    assert found.forward_passes == passes
    assert found.slowest_forward == 8 * slowest
    assert found.clients == 2


def test_the_slowest_client_of_a_baseline_takes_the_steps_of_an_average_one_rounded_up():
    record = BackpropRound(
        round=1,
        loss=1.0,
        clients=3,
        forward_passes=10,
        backward_passes=10,
        example_passes=75,
        bytes_down=0,
        bytes_up=0,
        seconds=0,
        values_sha256="",
    )
    found = backprop_round(record, BackpropConfig(rounds=1, batch=8))
    assert found.slowest_forward == found.slowest_backward == 4 * 8
    assert found.examples == 75
