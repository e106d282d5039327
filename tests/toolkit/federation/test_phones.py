"""A host's phones: the native runner on this machine, with data of the host's own."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from android_harness.job import VerbalizerLoss
from exporters.gguf.adapter import read_adapter_values
from exporters.lora.directions import draw_seeds
from exporters.lora.support import EVERYTHING
from exporters.manifest import Bundle
from toolkit.data.prompts import DEFAULT_TEMPLATE, Prompt
from toolkit.data.table import Rows
from toolkit.data.task import TextSource
from toolkit.data.verbalizer import make_verbalizer
from toolkit.errors import DataError, TrainingError
from toolkit.federation.envelope import Done, Open, Parcel, Work, decode_response, encode_request
from toolkit.federation.host_desk import HostDesk
from toolkit.federation.host_task import HostTask
from toolkit.federation.phones import HostPhones, host_examples
from toolkit.privacy.slope_noise import SlopeNoise
from toolkit.protocol.codec import decode_outcome, encode_order
from toolkit.protocol.exact import values_sha256
from toolkit.protocol.order import Answer, CatchUp, Order, Probes
from toolkit.protocol.seed_book import SeedBook

WORDS = {"sports": "Sports", "business": "Business"}


@pytest.fixture
def task(bundle: Bundle, tokenizer: PreTrainedTokenizerFast) -> HostTask:
    prompt = Prompt(DEFAULT_TEMPLATE, tokenizer)
    tokens = make_verbalizer(list(WORDS), prompt, tokenizer, WORDS).tokens
    return HostTask(
        run_id="run",
        bundle_sha256=bundle.sha256,
        max_tokens=32,
        loss=VerbalizerLoss(tokens=tuple(tokens.values())),
        template=DEFAULT_TEMPLATE,
        words=WORDS,
    )


@pytest.fixture
def phones(bundle: Bundle, table: Path) -> HostPhones:
    source = TextSource(table, ["title", "text"], "label")
    return HostPhones(("local",), bundle.folder, (source,))


def test_a_host_answers_with_its_phone(
    phones: HostPhones, task: HostTask, bundle: Bundle, runner_binary: Path
) -> None:
    manifest = bundle.manifest
    initial = read_adapter_values(bundle.adapter, manifest.architecture, manifest.lora)
    book = SeedBook(5)
    book.note(1, 3)
    order = Order(
        round_number=1,
        increment=0,
        version=0,
        sync=CatchUp(0, ()),
        values_sha256=values_sha256(initial),
        batch=(0, 1, 47),
        estimator="central",
        epsilon=0.01,
        probes=Probes(tuple(draw_seeds(5, 1, 3)), "rademacher", EVERYTHING, 1),
    )
    phones.check()
    with HostDesk(phones.opener()) as desk:
        opened = desk.respond(encode_request(Open(1, task.text(), 5, 60.0)))
        assert decode_response(opened).clients == (("local", 48),)
        parcel = Parcel("local", 1, 0, encode_order(order, book))
        done = decode_response(desk.respond(encode_request(Work(1, 60.0, (parcel,)))))
    assert isinstance(done, Done)
    answer = decode_outcome(done.outcomes[0].content)
    assert isinstance(answer, Answer), answer
    assert answer.slopes.shape == (3,)
    assert np.isfinite(answer.slopes).all()
    assert len(set(answer.slopes.tolist())) == 3


def test_what_the_server_sends_holds_no_data(task: HostTask) -> None:
    assert HostTask.parse(task.text()) == task
    assert set(json.loads(task.text())) == set(HostTask.model_fields)


@pytest.mark.parametrize("text", ["", "{}", '{"run_id": "x", "surprise": 1}', "[]"])
def test_foreign_settings_are_refused(phones: HostPhones, text: str) -> None:
    with pytest.raises(TrainingError, match="settings are not readable"), phones.opener()(text):
        pass


def test_another_bundle_is_refused(phones: HostPhones, task: HostTask) -> None:
    other = task.model_copy(update={"bundle_sha256": "0" * 64})
    with (
        pytest.raises(TrainingError, match="not the server's"),
        phones.opener()(other.text()),
    ):
        pass


@pytest.mark.parametrize("noise", [None, SlopeNoise(clip=1.0, multiplier=0.9)])
def test_a_run_with_too_little_noise_is_refused(
    phones: HostPhones, task: HostTask, noise: SlopeNoise | None
) -> None:
    careful = dataclasses.replace(phones, least_noise=1.0)
    weak = task.model_copy(update={"privacy": noise})
    with (
        pytest.raises(TrainingError, match=r"insists on 1"),
        careful.opener()(weak.text()),
    ):
        pass


def test_another_tokens_loss_is_refused(task: HostTask, tokenizer: PreTrainedTokenizerFast) -> None:
    other = task.model_copy(update={"loss": VerbalizerLoss(tokens=(1, 2))})
    with pytest.raises(TrainingError, match="other tokens"):
        host_examples(Rows(("text",), ("sports",)), other, tokenizer)


def test_a_label_that_the_server_does_not_know_is_refused(
    task: HostTask, tokenizer: PreTrainedTokenizerFast
) -> None:
    with pytest.raises(DataError, match="weather"):
        host_examples(Rows(("text",), ("weather",)), task, tokenizer)


def test_a_host_may_have_fewer_labels_than_the_server(
    task: HostTask, tokenizer: PreTrainedTokenizerFast
) -> None:
    [example] = host_examples(Rows(("text",), ("sports",)), task, tokenizer)
    assert isinstance(task.loss, VerbalizerLoss)
    assert example.target_ids[0] in task.loss.tokens


def test_targets_and_data_must_fit(phones: HostPhones) -> None:
    twice = dataclasses.replace(phones, targets=("local", "local"))
    with pytest.raises(DataError, match="twice"):
        twice.check()
    three = dataclasses.replace(
        phones, targets=("local", "adb:A", "adb:B"), sources=phones.sources * 2
    )
    with pytest.raises(DataError, match="2 data files for 3 targets"):
        three.check()
