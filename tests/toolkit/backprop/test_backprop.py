"""FedAvg and FedSGD against gradients and PyTorch's optimizers, and what their rounds cost."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from exporters.lora.support import Support
from tests.toolkit.simulation.encoders import labelled_store, tuned
from toolkit.backprop.contract import Adam, BackpropConfig, FedAvg, FedSgd, Sgd
from toolkit.backprop.optimizer import Descent
from toolkit.backprop.table import backprop_table
from toolkit.backprop.train import train_by_backprop
from toolkit.errors import TrainingError
from toolkit.simulation.evaluator import TorchEvaluator

CLIENTS = {"a": [0, 1, 2, 3], "b": [4, 5]}
WHOLE = 6  # a batch that holds all examples of any client


@pytest.fixture
def model():
    return tuned()


@pytest.fixture
def examples(model):
    return model.prepare(labelled_store())


def settings(method, **changed):
    return BackpropConfig(**{"rounds": 1, "batch": WHOLE, "method": method} | changed)


SGD = FedSgd(optimizer=Sgd(rate=0.5))


def test_a_round_of_fedsgd_on_whole_data_is_a_step_along_the_whole_gradient(model, examples):
    result = train_by_backprop(model, examples, CLIENTS, settings(SGD))
    gradient = model.gradient(model.initial, examples.batch(range(6))).values
    np.testing.assert_allclose(result.values, model.initial - 0.5 * gradient, atol=1e-6)


def test_fedavg_with_one_step_on_whole_data_is_fedsgd(model, examples):
    method = FedAvg(optimizer=Sgd(rate=0.5))
    averaged = train_by_backprop(model, examples, CLIENTS, settings(method))
    stepped = train_by_backprop(model, examples, CLIENTS, settings(SGD))
    np.testing.assert_allclose(averaged.values, stepped.values, atol=1e-6)


def test_fedavg_weighs_clients_by_their_examples(model, examples):
    method = FedAvg(optimizer=Sgd(rate=0.5))
    both = train_by_backprop(model, examples, CLIENTS, settings(method)).values
    alone = [
        train_by_backprop(model, examples, {name: lines}, settings(method)).values
        for name, lines in CLIENTS.items()
    ]
    np.testing.assert_allclose(both, (4 * alone[0] + 2 * alone[1]) / 6, atol=1e-6)


@pytest.mark.parametrize("method", [FedAvg(epochs=2), FedSgd()])
def test_the_loss_falls(model, examples, method):
    result = train_by_backprop(
        model,
        examples,
        CLIENTS,
        settings(method, rounds=30, batch=3, annealing="none"),
        evaluator=TorchEvaluator(model, examples),
    )
    losses = [record.evaluation.loss for record in result.rounds]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("method", [FedAvg(), FedSgd()])
def test_what_the_support_leaves_out_does_not_move(model, examples, method):
    support = Support(layers=(1, 1), matrices="B")
    result = train_by_backprop(
        model, examples, CLIENTS, settings(method, rounds=3, support=support)
    )
    moved = result.values != model.initial
    mask = support.mask(model.layout)
    assert not moved[~mask].any()
    assert moved[mask].all()
    assert result.rounds[1].bytes_up == 2 * 4 * mask.sum()


@pytest.mark.parametrize("method", [FedAvg(epochs=2), FedSgd()])
def test_a_run_follows_its_seed(model, examples, method):
    first, again, other = (
        train_by_backprop(
            model, examples, CLIENTS, settings(method, rounds=2, batch=2, clients=1, seed=seed)
        ).rounds
        for seed in (1, 1, 5)
    )
    assert [one.values_sha256 for one in first] == [one.values_sha256 for one in again]
    assert first[-1].values_sha256 != other[-1].values_sha256


def test_passes_and_bytes_are_those_of_the_clients_asked(model, examples):
    fedavg = FedAvg(epochs=3)
    rounds = train_by_backprop(model, examples, CLIENTS, settings(fedavg, batch=3)).rounds
    assert [record.clients for record in rounds] == [0, 2]
    # Four examples make two batches an epoch, two make one.
    assert rounds[1].forward_passes == rounds[1].backward_passes == 3 * (2 + 1)
    assert rounds[1].example_passes == 3 * 6
    assert rounds[1].bytes_up == rounds[1].bytes_down == 2 * 4 * model.parameters


def test_local_steps_are_capped(model, examples):
    rounds = train_by_backprop(
        model, examples, {"a": range(6)}, settings(FedAvg(epochs=9, most_steps=4), batch=2)
    ).rounds
    assert rounds[1].backward_passes == 4


def test_rates_fall_linearly(model, examples):
    gradient = model.gradient(model.initial, examples.batch(range(6))).values
    one_client = {"a": range(6)}
    steps = []
    for annealing in ("linear", "none"):
        two = train_by_backprop(
            model, examples, one_client, settings(SGD, rounds=2, annealing=annealing)
        )
        steps.append(two.values - (model.initial - np.float32(0.5) * gradient))
    np.testing.assert_allclose(2 * steps[0], steps[1], atol=1e-6)


def test_adam_is_pytorchs():
    generator = np.random.default_rng(0)
    values = generator.standard_normal(7).astype(np.float32)
    parameter = torch.nn.Parameter(torch.from_numpy(values.copy()))
    theirs = torch.optim.Adam([parameter], lr=0.03, betas=(0.8, 0.95), eps=1e-6)
    ours = Descent(Adam(rate=0.03, beta1=0.8, beta2=0.95, epsilon=1e-6), 7)
    for _ in range(5):
        gradient = generator.standard_normal(7).astype(np.float32)
        values = ours.step(values, gradient)
        parameter.grad = torch.from_numpy(gradient)
        theirs.step()
    np.testing.assert_allclose(values, parameter.detach().numpy(), atol=1e-6)


def test_the_table_has_a_row_for_each_round(model, examples):
    rounds = train_by_backprop(
        model,
        examples,
        CLIENTS,
        settings(FedSgd(), rounds=3, evaluate_every=2),
        evaluator=TorchEvaluator(model, examples),
    ).rounds
    table = backprop_table(rounds)
    assert table["round"].tolist() == [0, 1, 2, 3]
    assert table["held_out_accuracy"].notna().tolist() == [True, False, True, True]
    assert table["bytes_up"].iloc[-1] == 2 * 4 * model.parameters


@pytest.mark.parametrize("clients", [{}, {"a": [0], "b": []}])
def test_clients_without_examples_are_refused(model, examples, clients):
    with pytest.raises(TrainingError, match="clients with examples"):
        train_by_backprop(model, examples, clients, settings(FedSgd()))


def test_values_given_are_not_written_to(model, examples):
    before = model.initial.copy()
    train_by_backprop(model, examples, CLIENTS, settings(FedAvg(epochs=2)))
    np.testing.assert_array_equal(model.initial, before)
