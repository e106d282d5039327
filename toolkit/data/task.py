"""From data files to what a training run learns and what it is evaluated on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase

from android_harness.examples import Example
from android_harness.job import Loss, VerbalizerLoss, VocabularyLoss
from toolkit.data.classification import classification_examples
from toolkit.data.language_modelling import language_modelling_examples
from toolkit.data.prompts import DEFAULT_TEMPLATE, Prompt
from toolkit.data.table import Rows, read_rows
from toolkit.data.verbalizer import Verbalizer, make_verbalizer
from toolkit.errors import DataError


@dataclass(frozen=True)
class TextSource:
    """Columns of a file; see `read_rows`. Without a label column the task is language modelling."""

    path: Path
    text_columns: Sequence[str]
    label_column: str | None = None

    def read(self) -> Rows:
        return read_rows(self.path, text_columns=self.text_columns, label_column=self.label_column)


@dataclass(frozen=True)
class Task:
    """Examples to learn from, others to evaluate on, and the loss of both."""

    examples: list[Example]
    held_out: list[Example]
    loss: Loss
    verbalizer: Verbalizer | None  # None: language modelling


def load_task(
    source: TextSource,
    tokenizer: PreTrainedTokenizerBase,
    *,
    held_out: int,
    held_out_path: Path | None = None,
    template: str = DEFAULT_TEMPLATE,
    words: Mapping[str, str] | None = None,
    max_tokens: int,
    most_examples: int | None = None,
    seed: int = 0,
) -> Task:
    """Reads, divides and tokenizes.

    Rows are drawn at random by `seed`: files are often sorted by label.

    Args:
        held_out: how many rows to evaluate on, from `held_out_path`, or else taken away from the
            rows of `source`.
        words: the verbalizer's words; None chooses them.
        most_examples: the most rows to learn from; None: all.

    Raises:
        DataError: the files, columns, template, words or sizes do not allow it.
    """
    generator = np.random.default_rng(seed)
    learnt = _shuffled(source.read(), generator)
    if held_out_path is not None:
        kept = _shuffled(
            TextSource(held_out_path, source.text_columns, source.label_column).read(), generator
        )
        kept = _part(kept, 0, held_out)
    else:
        if held_out >= len(learnt.texts):
            raise DataError(
                f"holding out {held_out} of {len(learnt.texts)} rows leaves none to learn from",
                remedy="hold out fewer rows, or give a file of their own",
                file=source.path,
            )
        kept, learnt = _part(learnt, 0, held_out), _part(learnt, held_out, None)
    # Of all rows: a label may be missing among the few that are learnt from.
    labels = (*(learnt.labels or ()), *(kept.labels or ()))
    learnt = _part(learnt, 0, most_examples)
    if source.label_column is None:
        return Task(
            language_modelling_examples(learnt.texts, tokenizer, max_tokens=max_tokens),
            language_modelling_examples(kept.texts, tokenizer, max_tokens=max_tokens)
            if kept.texts
            else [],
            VocabularyLoss(),
            None,
        )
    prompt = Prompt(template, tokenizer)
    verbalizer = make_verbalizer(labels, prompt, tokenizer, words)
    return Task(
        classification_examples(learnt, prompt, verbalizer, max_tokens=max_tokens),
        classification_examples(kept, prompt, verbalizer, max_tokens=max_tokens),
        VerbalizerLoss(tokens=tuple(verbalizer.tokens.values())),
        verbalizer,
    )


def _shuffled(rows: Rows, generator: np.random.Generator) -> Rows:
    order = generator.permutation(len(rows.texts))
    labels = rows.labels
    return Rows(
        texts=tuple(rows.texts[number] for number in order),
        labels=None if labels is None else tuple(labels[number] for number in order),
    )


def _part(rows: Rows, start: int, count: int | None) -> Rows:
    stop = None if count is None else start + count
    return Rows(
        texts=rows.texts[start:stop],
        labels=None if rows.labels is None else rows.labels[start:stop],
    )
