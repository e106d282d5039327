"""Work is counted as the runners do it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_bench.costs.program_runs import ProgramSize, runs_of
from device_bench.costs.setting import Setting
from tests.device_bench.fake_timing_runner import HIDDEN_SIZE, LAYERS, LORA, SHAPE, VOCABULARY_SIZE

EVERY_LOSS = SHAPE.model_copy(update={"loss_positions": "all"})
# q, k, v and o, and three matrices of the feed-forward layer.
LAYER_WEIGHTS = 4 * HIDDEN_SIZE**2 + 3 * HIDDEN_SIZE * 64
LORA_FLOPS = 2 * LORA.parameters / LAYERS


def program(kind: str, batch: int, length: int, slots: int, positions: int = 0) -> ProgramSize:
    return ProgramSize(
        kind=kind, batch=batch, length=length, slots=slots, positions=positions or batch
    )


PROGRAMS = (
    program("loss", 1, 32, 2),
    program("loss", 4, 64, 2),
    program("tangent", 4, 64, 8),
)
PADDED = SHAPE.model_copy(update={"programs": PROGRAMS, "attention_tile": 0})

settings = st.builds(
    Setting,
    st.integers(1, 9),
    st.integers(1, 200),
    st.sampled_from(["central", "forward", "tangent"]),
    st.integers(1, 9),
    st.none() | st.sampled_from([(2, 2), (3, 4), (2, 5)]),
)


def work(setting: Setting):
    found = EVERY_LOSS.work(setting)
    assert found is not None
    return found


def test_a_token_takes_two_flops_for_each_weight_of_the_layers_from_the_first_that_moves() -> None:
    """The LoRA of 4 of 6 layers counts as if all had a share of it."""
    found = work(Setting(1, 1, "forward", 1))
    layers = LAYERS - 2
    assert found.flops == pytest.approx(
        layers * (2 * LAYER_WEIGHTS + LORA_FLOPS) + 2 * HIDDEN_SIZE * VOCABULARY_SIZE
    )
    # Two scores' worth of a pair: the token with itself.
    assert found.attention_flops == layers * 4 * HIDDEN_SIZE
    assert found.weight_bytes == pytest.approx(
        34 / 32 * (layers * LAYER_WEIGHTS + HIDDEN_SIZE * VOCABULARY_SIZE)
    )
    assert (found.passes, found.moved_parameters) == (1, LORA.parameters)


def test_only_the_layers_above_a_ranges_first_are_computed_and_its_own_lora_moved() -> None:
    whole, top = work(Setting(4, 8, "central", 2)), work(Setting(4, 8, "central", 2, (5, 5)))
    assert top.attention_flops == whole.attention_flops / 4
    assert top.moved_parameters == whole.moved_parameters / 4
    assert SHAPE.work(Setting(4, 8, "central", 2, (0, 1))) is None  # without LoRA


@given(settings)
def test_a_central_probe_is_two_of_the_forward_ones(setting: Setting) -> None:
    central, forward = (
        work(Setting(setting.batch, setting.tokens, estimator, setting.directions_per_pass))
        for estimator in ("central", "forward")
    )
    assert central == forward.over(0.5)  # type: ignore[arg-type]


@given(settings)
def test_more_of_anything_is_never_less_work(setting: Setting) -> None:
    before = work(setting)
    for change in ("batch", "tokens", "directions_per_pass"):
        more = Setting(**{**vars(setting), change: getattr(setting, change) + 1})
        after = work(more)
        assert after.flops > before.flops
        assert after.attention_flops >= before.attention_flops
        assert after.weight_bytes >= before.weight_bytes


def test_weights_are_read_again_for_every_256_columns_of_tangents() -> None:
    """Of 128 tokens two directions go together, after the point itself."""
    one, two, three = (work(Setting(1, 128, "tangent", count)).weight_bytes for count in (1, 2, 3))
    assert one == two < three
    assert three == pytest.approx(1.5 * two)


def test_an_attention_in_tiles_computes_those_that_reach_below_the_diagonal() -> None:
    pair = 4 * HIDDEN_SIZE * (LAYERS - 2)
    for tokens, pairs in ((63, 63 * 64 // 2), (64, 64**2), (65, 3 * 64**2), (128, 3 * 64**2)):
        assert work(Setting(1, tokens, "forward", 1)).attention_flops == pairs * pair
    tangent = work(Setting(1, 65, "tangent", 1)).attention_flops
    assert tangent == 3 * (65 * 66 // 2) * pair  # the point, and both factors' derivatives


def test_only_positions_with_a_loss_go_beyond_the_last_attention() -> None:
    setting = Setting(1, 64, "forward", 1)
    last = SHAPE.work(setting)
    assert last is not None
    beyond = 2 * (HIDDEN_SIZE**2 + 3 * HIDDEN_SIZE * 64) + 2 * HIDDEN_SIZE * VOCABULARY_SIZE
    assert work(setting).flops - last.flops == pytest.approx(63 * beyond)


# Programs


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (Setting(1, 32, "central", 1), [PROGRAMS[0]]),
        (Setting(1, 8, "central", 2), [PROGRAMS[0]] * 2),  # padded to 32 tokens; 4 copies
        (Setting(4, 64, "central", 1), [PROGRAMS[1]]),
        (Setting(5, 64, "forward", 1), [PROGRAMS[1]] * 2),  # the second holds one example
        (Setting(3, 32, "central", 1), [PROGRAMS[0]] * 3),
        (Setting(4, 33, "tangent", 9), [PROGRAMS[2]] * 2),
        (Setting(1, 65, "central", 1), []),
    ],
)
def test_a_setting_runs_the_programs_that_pad_it_least(
    setting: Setting, expected: list[ProgramSize]
) -> None:
    assert list(runs_of(PROGRAMS, setting, 1)) == expected
    assert (PADDED.work(setting) is None) == (not expected)


def test_an_example_with_many_loss_positions_goes_through_a_program_in_parts() -> None:
    few = program("loss", 2, 32, 1, positions=12)
    assert len(list(runs_of([few], Setting(1, 30, "forward", 1), 30))) == 3
    # 12 + 12 + 6 of each of two examples: two parts of 6 fit together.
    assert len(list(runs_of([few], Setting(2, 30, "forward", 1), 30))) == 6


def test_programs_compute_all_layers_whichever_move() -> None:
    assert PADDED.work(Setting(4, 64, "central", 1, (5, 5))) == PADDED.work(
        Setting(4, 64, "central", 1)
    )


@given(settings)
def test_padding_is_work_too(setting: Setting) -> None:
    """A setting costs what the setting costs that fills its programs."""
    padded = PADDED.work(setting)
    if padded is None:
        return
    runs = list(runs_of(PROGRAMS, setting, 1))
    assert padded.passes == len(runs)
    assert sum(run.batch * run.slots for run in runs) >= setting.batch * setting.columns


def test_programs_of_a_setting_are_held_together() -> None:
    small, large = (PADDED.held(Setting(*size, "central", 1)) for size in ((1, 32), (4, 64)))
    assert small is not None and large is not None
    assert (small.columns, large.columns) == (2 * 32, 2 * 4 * 64)
    assert large.pairs == 2 * 4 * 64 * 64
