"""`llama-bench -o json` as a coarse profile, for phones that were measured elsewhere.

A prompt of n tokens is one forward pass over a batch of one example. What such a pass leaves out:
LoRA and its perturbed copies, the loss (logits are of the last token alone), tangents, and peak
memory. So these profiles are never `valid`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import AwareDatetime, BaseModel, NonNegativeInt, PositiveInt, ValidationError

from android_harness.facts.device_facts import DeviceFacts, parse_device_facts
from device_bench.costs.cost_model import CostModel, fit_cost_model
from device_bench.costs.memory_model import MemoryModel
from device_bench.costs.setting import Setting
from device_bench.costs.work import ModelShape
from device_bench.profiles.profile import (
    ArmSummary,
    BackendProfile,
    Derivation,
    Interval,
    Parameter,
    Profile,
)
from device_bench.statistics import summarise
from toolkit.exchange.errors import ExchangeError

REASON = "imported"
RULE = (
    "Seconds of a pass are those of llama-bench's prompt of as many tokens: a read of the weights, "
    "FLOPs of n tokens and n² pairs of them, by non-negative least squares on relative errors over "
    "the prompt lengths; of one length all is FLOPs. "
    "A central probe takes two passes, a forward probe one; what perturbed LoRA copies cost on "
    "top is not in it. Peak memory is the size of the weights alone."
)
# Of llama-bench's names of backends; what is not here keeps its name.
_BACKENDS = {"CPU": "ggml-cpu", "Vulkan": "ggml-vulkan", "OpenCL": "ggml-opencl"}
# Libraries for the CPU, and not devices of their own.
_BESIDE_CPU = {"CPU", "BLAS", "RPC"}


class Result(BaseModel):
    """What is used of one test of llama-bench, by its own names."""

    build_commit: str
    cpu_info: str
    backends: str
    model_type: str
    model_size: PositiveInt
    model_n_params: PositiveInt
    n_threads: PositiveInt
    n_gpu_layers: int
    n_prompt: NonNegativeInt
    n_gen: NonNegativeInt
    n_depth: NonNegativeInt = 0
    test_time: AwareDatetime
    samples_ns: tuple[PositiveInt, ...]

    @property
    def is_prompt(self) -> bool:
        """A prompt from an empty context, timed at least once."""
        return self.n_prompt > 0 and self.n_gen == 0 and self.n_depth == 0 and bool(self.samples_ns)


def read_results(path: Path) -> list[Result]:
    """The tests in the output of `llama-bench -o json` or `-o jsonl`.

    Raises:
        ExchangeError: it is neither.
    """
    try:
        text = path.read_text(encoding="utf-8")
        entries = _entries(text)
        return [Result.model_validate(entry) for entry in entries]
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"]) or "a test"
        raise ExchangeError(
            f"this is no output of llama-bench: {place}: {problem['msg']}",
            remedy="run llama-bench with -o json",
            file=path,
        ) from error
    except ValueError as error:
        raise ExchangeError(
            "this is no output of llama-bench: it is not JSON",
            remedy="run llama-bench with -o json",
            file=path,
        ) from error


def profile_of_results(
    results: Sequence[Result],
    *,
    target: str,
    lifetime: timedelta,
    threads: int | None = None,
    bundle_sha256: str | None = None,
) -> Profile:
    """The profile of the one device and model that the tests are of.

    Args:
        target: what the device is called; llama-bench does not know its own.
        lifetime: until when the profile is believed, from its newest test on.
        threads: of several that were tested; None: the fastest at the longest prompt.
        bundle_sha256: of the bundle that the tests stand for; None: of none, so that it can only
            be allocated beside imports of the same model.

    Raises:
        ExchangeError: there is no test of a prompt, or they are of several models, devices or
            backends.
    """
    prompts = [result for result in results if result.is_prompt]
    if not prompts:
        raise ExchangeError(
            "no test is of a prompt alone", remedy="run llama-bench with -p 64,256,512 -n 0"
        )
    for word, values in (
        ("models", {result.model_type for result in prompts}),
        ("devices", {result.cpu_info for result in prompts}),
        ("backends", {_backend(result) for result in prompts}),
    ):
        if len(values) > 1:
            raise ExchangeError(
                f"the tests are of several {word}: {', '.join(sorted(values))}",
                remedy="import each from a file of its own",
            )
    chosen = _of_one_thread_count(prompts, threads)
    newest = max(chosen, key=lambda result: result.test_time)
    backend = _backend_profile(chosen)
    return Profile(
        target=target,
        device=_device(newest),
        backends=(backend,),
        bundle_sha256=bundle_sha256 or f"llama-bench {newest.model_type} {newest.model_size}",
        runner_sha256=f"llama-bench {newest.build_commit}",
        measured_at=newest.test_time,
        expires_at=newest.test_time + lifetime,
        derivation=Derivation(
            rule=RULE,
            measured_on=newest.cpu_info or target,
            parameters=(
                Parameter(name="threads", value=newest.n_threads, source="llama-bench"),
                Parameter(name="weight_bytes", value=newest.model_size, source="llama-bench"),
                Parameter(name="parameters", value=newest.model_n_params, source="llama-bench"),
            ),
        ),
    )


def _entries(text: str) -> list[Any]:
    """The elements of an array, or a line each."""
    if text.lstrip().startswith("["):
        entries: list[Any] = json.loads(text)
        return entries
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _backend(result: Result) -> str:
    """What computed: the CPU unless layers were given to something else."""
    others = [name for name in result.backends.split(",") if name not in _BESIDE_CPU]
    name = others[0] if others and result.n_gpu_layers else "CPU"
    return _BACKENDS.get(name, f"ggml-{name.lower()}")


def _of_one_thread_count(prompts: Sequence[Result], threads: int | None) -> list[Result]:
    by_threads: dict[int, list[Result]] = defaultdict(list)
    for result in prompts:
        by_threads[result.n_threads].append(result)
    if threads is None:
        longest = max(result.n_prompt for result in prompts)
        at_longest = [result for result in prompts if result.n_prompt == longest]
        threads = min(at_longest, key=lambda result: np.median(result.samples_ns)).n_threads
    if threads not in by_threads:
        raise ExchangeError(
            f"no test is of {threads} threads",
            remedy=f"choose among {', '.join(str(count) for count in sorted(by_threads))}",
        )
    return by_threads[threads]


def _backend_profile(results: Sequence[Result]) -> BackendProfile:
    samples: dict[int, list[float]] = defaultdict(list)
    for result in results:
        samples[result.n_prompt] += [nanoseconds / 1e9 for nanoseconds in result.samples_ns]
    weights = results[0].model_size
    arms = []
    for tokens in sorted(samples):
        summary = summarise(samples[tokens])
        arms.append(
            ArmSummary(
                batch=1,
                tokens=tokens,
                directions_per_pass=1,
                estimator="forward",
                threads=results[0].n_threads,
                repetitions=summary.n,
                seconds_per_probe=Interval(
                    value=summary.median, low=summary.low, high=summary.high
                ),
                relative_spread=summary.relative_spread,
                outliers=len(summary.outliers),
                peak_memory_bytes=weights,
                provenance="modelled",
            )
        )
    settings = [arm.setting for arm in arms]
    shape = _shape(results[0])
    return BackendProfile(
        backend=_backend(results[0]),
        cost=_cost(shape, settings, [arm.seconds_per_probe.value for arm in arms]),
        cost_provenance="modelled",
        arms=tuple(arms),
        peak_memory_bytes=weights,
        verdict="suspect",
        reasons=(REASON,),
        shape=shape,
        memory=MemoryModel(
            base_bytes=weights,
            bytes_per_column=0,
            bytes_per_pair=0,
            bytes_per_parameter=0,
            margin=0,
            median_relative_error=None,
            arms=len(arms),
        ),
    )


def _shape(result: Result) -> ModelShape:
    """All that is known: one layer of all the weights; attention counts pairs of tokens."""
    return ModelShape(
        layers=1,
        adapted_layers=(),
        layer_flops=2 * result.model_n_params,
        input_flops=0,
        pair_flops=1,
        tangent_pairs=1,
        attention_tile=0,
        output_flops=0,
        layer_weight_bytes=result.model_size,
        output_weight_bytes=0,
        lora_parameters=0,
        loss_positions="all",
    )


def _cost(shape: ModelShape, settings: Sequence[Setting], seconds: Sequence[float]) -> CostModel:
    """Of one length all is FLOPs: the import knows no better, and longer prompts take longer."""
    if len(settings) > 1:
        fitted = fit_cost_model(shape, settings, seconds)
        return fitted.model_copy(update={"median_relative_error": None})
    work = shape.work(settings[0])
    assert work is not None  # any size, and no range of layers
    return CostModel(
        fixed_s=0,
        s_per_weight_byte=0,
        s_per_flop=seconds[0] / work.flops,
        s_per_attention_flop=0,
        s_per_moved_parameter=0,
        median_relative_error=None,
    )


def _device(result: Result) -> DeviceFacts:
    """Little: llama-bench tells the processor's name. A phone, so its system is Android."""
    return parse_device_facts("").model_copy(
        update={
            "os": "android",
            "cpu_model": result.cpu_info or None,
            "sources": {"cpu_model": "llama-bench cpu_info"},
        }
    )
