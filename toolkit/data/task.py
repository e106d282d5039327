"""From data to what a training run learns and what it is evaluated on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase

from android_harness.examples import Example
from android_harness.job import Loss, VerbalizerLoss, VocabularyLoss
from toolkit.data.classification import classification_examples
from toolkit.data.head_classification import ClassExample, class_examples
from toolkit.data.language_modelling import language_modelling_examples
from toolkit.data.prompts import DEFAULT_TEMPLATE, Prompt
from toolkit.data.source import DataSource
from toolkit.data.table import Rows, read_rows
from toolkit.data.verbalizer import Verbalizer, make_verbalizer
from toolkit.errors import DataError


@dataclass(frozen=True)
class TextSource:
    """Columns of a source; see `read_rows`.

    Without a label column the task is language modelling.
    """

    path: DataSource
    text_columns: Sequence[str]
    label_column: str | None = None
    user_column: str | None = None

    def read(self) -> Rows:
        return read_rows(
            self.path,
            text_columns=self.text_columns,
            label_column=self.label_column,
            user_column=self.user_column,
        )


@dataclass(frozen=True)
class Task:
    """Examples to learn from, others to evaluate on, and the loss of both.

    `rows` are those of `examples`, one each, for a partition by label or user.
    """

    examples: list[Example]
    held_out: list[Example]
    loss: Loss
    verbalizer: Verbalizer | None  # None: language modelling, or an encoder's classes
    rows: Rows


@dataclass(frozen=True)
class HeadTask:
    """The same for classification with a head; `classes` are the labels by class number."""

    examples: list[ClassExample]
    held_out: list[ClassExample]
    classes: tuple[str, ...]
    rows: Rows


def load_task(
    source: TextSource,
    tokenizer: PreTrainedTokenizerBase,
    *,
    held_out: int,
    held_out_path: DataSource | None = None,
    template: str = DEFAULT_TEMPLATE,
    words: Mapping[str, str] | None = None,
    max_tokens: int,
    most_examples: int | None = None,
    seed: int = 0,
    classes: int | None = None,
) -> Task:
    """Reads, divides and tokenizes: language modelling, or classification by a verbalizer.

    Rows are drawn at random by `seed`: files are often sorted by label.

    Args:
        classes: of an encoder classifier, whose own they are: there is no prompt then. None: a
            language model.
        held_out: how many rows to evaluate on, from `held_out_path`, or else taken away from the
            rows of `source`.
        words: the verbalizer's words; None chooses them.
        most_examples: the most rows to learn from; None: all.

    Raises:
        DataError: the data, columns, template, words or sizes do not allow it.
    """
    if classes is not None:
        head = load_head_task(
            source, tokenizer, held_out=held_out, held_out_path=held_out_path,
            max_tokens=max_tokens, most_examples=most_examples, seed=seed,
        )  # fmt: skip
        return _for_devices(head, classes)
    rows = _divided(source, held_out, held_out_path, most_examples, seed)
    if source.label_column is None:
        learnt = language_modelling_examples(rows.learnt.texts, tokenizer, max_tokens=max_tokens)
        kept = language_modelling_examples(rows.held_out.texts, tokenizer, max_tokens=max_tokens)
        if not learnt or (rows.held_out.texts and not kept):
            raise DataError("no text is long enough to predict a token")
        return Task(
            list(learnt.values()),
            list(kept.values()),
            VocabularyLoss(),
            None,
            rows.learnt.take(learnt),
        )
    prompt = Prompt(template, tokenizer)
    verbalizer = make_verbalizer(rows.classes, prompt, tokenizer, words)
    return Task(
        classification_examples(rows.learnt, prompt, verbalizer, max_tokens=max_tokens),
        classification_examples(rows.held_out, prompt, verbalizer, max_tokens=max_tokens),
        VerbalizerLoss(tokens=tuple(verbalizer.tokens.values())),
        verbalizer,
        rows.learnt,
    )


def load_head_task(
    source: TextSource,
    tokenizer: PreTrainedTokenizerBase,
    *,
    held_out: int,
    held_out_path: DataSource | None = None,
    max_tokens: int,
    most_examples: int | None = None,
    seed: int = 0,
) -> HeadTask:
    """Reads, divides and tokenizes for an encoder with a classification head.

    The same rows as `load_task` draws; its arguments.

    Raises:
        DataError: the data, columns or sizes do not allow it, or there are fewer than 2 labels.
    """
    rows = _divided(source, held_out, held_out_path, most_examples, seed)
    if len(rows.classes) < 2:
        raise DataError(
            f"classification needs at least two labels, found {list(rows.classes)}",
            remedy="name the label column",
        )
    return HeadTask(
        class_examples(rows.learnt, rows.classes, tokenizer, max_tokens=max_tokens),
        class_examples(rows.held_out, rows.classes, tokenizer, max_tokens=max_tokens)
        if rows.held_out.texts
        else [],
        rows.classes,
        rows.learnt,
    )


def _for_devices(task: HeadTask, classes: int) -> Task:
    if len(task.classes) != classes:
        raise DataError(
            f"the data have {len(task.classes)} labels, the model has {classes} classes",
            remedy=f"export the encoder with --classes {len(task.classes)}",
        )
    learnt = [example.for_device() for example in task.examples]
    kept = [example.for_device() for example in task.held_out]
    return Task(learnt, kept, VocabularyLoss(), None, task.rows)


@dataclass(frozen=True)
class _Divided:
    learnt: Rows
    held_out: Rows
    classes: tuple[str, ...]  # of all rows: a label may be missing among the few that are learnt


def _divided(
    source: TextSource,
    held_out: int,
    held_out_path: DataSource | None,
    most_examples: int | None,
    seed: int,
) -> _Divided:
    generator = np.random.default_rng(seed)
    learnt = _shuffled(source.read(), generator)
    if held_out_path is not None:
        # Held-out rows belong to nobody: their file need not name users.
        other = TextSource(held_out_path, source.text_columns, source.label_column)
        kept = _shuffled(other.read(), generator)
        kept = kept.take(range(min(held_out, len(kept))))
    else:
        if held_out >= len(learnt):
            raise DataError(
                f"holding out {held_out} of {len(learnt)} rows leaves none to learn from",
                remedy="hold out fewer rows, or give data of their own",
                file=source.path if isinstance(source.path, Path) else None,
            )
        kept = learnt.take(range(held_out))
        learnt = learnt.take(range(held_out, len(learnt)))
    classes = tuple(sorted({*(learnt.labels or ()), *(kept.labels or ())}))
    if most_examples is not None:
        learnt = learnt.take(range(min(most_examples, len(learnt))))
    return _Divided(learnt, kept, classes)


def _shuffled(rows: Rows, generator: np.random.Generator) -> Rows:
    return rows.take(generator.permutation(len(rows)).tolist())
