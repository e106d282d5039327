"""A host's phones as clients: their data are read, tokenized and kept on the host."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from android_harness.examples import Example, examples_text
from android_harness.job import VerbalizerLoss
from android_harness.runs.installed_runner import install_runner
from android_harness.targets.open_target import open_target
from exporters.adapter_values import adapter_values
from exporters.manifest import Bundle
from exporters.tokenizer import load_tokenizer
from toolkit.clients.device_client import ClientSettings, DeviceClient
from toolkit.clients.threads import ThreadFleet
from toolkit.data.classification import classification_examples
from toolkit.data.label_prior import loss_with_prior
from toolkit.data.language_modelling import language_modelling_examples
from toolkit.data.partition_even import IidPartition
from toolkit.data.prompts import Prompt
from toolkit.data.table import Rows
from toolkit.data.task import TextSource
from toolkit.data.verbalizer import make_verbalizer
from toolkit.errors import DataError, TrainingError
from toolkit.federation.host_desk import OpenFleet
from toolkit.federation.host_task import HostTask
from toolkit.privacy.protection import protection_of
from toolkit.protocol.fleet import Fleet
from toolkit.training.setup import text_sha256

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HostPhones:
    """What a host has: phones (targets), the bundle, and data.

    `sources` are one per target, or a single one that the targets share out at random. A run
    whose slopes would leave with less noise than `least_noise` times their clip is refused.
    """

    targets: tuple[str, ...]
    bundle: Path
    sources: tuple[TextSource, ...]
    least_noise: float = 0.0
    device: str | None = None  # what computes on the phones; None: their CPUs

    def check(self) -> None:
        """
        Raises:
            DataError: a target comes twice, the sources do not fit the targets, or one of them
                cannot be read.
            ContractError: the bundle is damaged.
        """
        if len(set(self.targets)) < len(self.targets):
            raise DataError("a target comes twice", remedy="name each device once")
        if len(self.sources) not in (1, len(self.targets)):
            raise DataError(
                f"{len(self.sources)} data files for {len(self.targets)} targets",
                remedy="give --data once for all targets, or once for each",
            )
        Bundle(self.bundle)
        for source in self.sources:
            source.read()

    def opener(self) -> OpenFleet:
        @contextmanager
        def open_fleet(settings: str) -> Iterator[Fleet]:
            with ExitStack() as stack:
                clients = list(self._clients(HostTask.parse(settings), stack))
                yield stack.enter_context(ThreadFleet(clients))

        return open_fleet

    def _clients(self, task: HostTask, stack: ExitStack) -> Iterator[DeviceClient]:
        bundle = Bundle(self.bundle)
        if bundle.sha256 != task.bundle_sha256:
            raise TrainingError(
                "this host's bundle is not the server's",
                remedy="copy the server's bundle to this host",
                file=self.bundle,
            )
        noise = 0.0 if task.privacy is None else task.privacy.multiplier
        if noise < self.least_noise:
            raise TrainingError(
                f"the run's noise on slopes is {noise:g} times their clip, and this host insists "
                f"on {self.least_noise:g}",
                remedy=f"start the run with --clip and --noise {self.least_noise:g}",
            )
        manifest = bundle.manifest
        initial = adapter_values(bundle)
        settings = ClientSettings(
            run_id=task.run_id,
            threads=task.threads,
            prefix_bytes=task.prefix_bytes,
            memory_bytes=task.memory_bytes,
            timeout_s=task.timeout_s,
        )
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fwdllm-")))
        parts = self._examples(task, load_tokenizer(bundle))
        for number, (spec, examples) in enumerate(zip(self.targets, parts, strict=True)):
            path = folder / f"{number}.jsonl"
            text = examples_text(examples)
            path.write_text(text, encoding="utf-8")
            target = stack.enter_context(open_target(spec))
            _log.info("%s: placing the runner and the bundle", spec)
            yield DeviceClient(
                install_runner(target, bundle, device=self.device),
                examples=path,
                count=len(examples),
                layout=manifest.lora,
                initial=initial,
                loss=loss_with_prior(task.loss, examples, task.label_prior),
                settings=settings,
                protection=protection_of(task.privacy, task.run_id, spec, text_sha256(text)),
            )

    def _examples(
        self, task: HostTask, tokenizer: PreTrainedTokenizerBase
    ) -> list[Sequence[Example]]:
        """Those of each target."""
        if len(self.sources) == len(self.targets):
            return [host_examples(source.read(), task, tokenizer) for source in self.sources]
        rows = self.sources[0].read()
        # The division must be the same whenever the host is started again.
        parts = IidPartition().divide(rows, len(self.targets), seed=0)
        return [host_examples(rows.take(part.tolist()), task, tokenizer) for part in parts]


def host_examples(
    rows: Rows, task: HostTask, tokenizer: PreTrainedTokenizerBase
) -> Sequence[Example]:
    """The rows as examples of the server's task.

    Raises:
        DataError: the rows lack what the task needs, or hold a label that it does not know.
    """
    if task.template is None or task.words is None:
        examples = language_modelling_examples(rows.texts, tokenizer, max_tokens=task.max_tokens)
        if not examples:
            raise DataError("no text is long enough to predict a token")
        return list(examples.values())
    prompt = Prompt(task.template, tokenizer)
    verbalizer = make_verbalizer(list(task.words), prompt, tokenizer, task.words)
    tokens = set(verbalizer.tokens.values())
    if not isinstance(task.loss, VerbalizerLoss) or tokens != set(task.loss.tokens):
        raise TrainingError("the server's loss is over other tokens than its words begin with")
    return classification_examples(rows, prompt, verbalizer, max_tokens=task.max_tokens)
