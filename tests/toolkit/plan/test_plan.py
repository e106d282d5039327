"""Methods compared for a fleet: every figure follows from profiles and table by hand."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_profiles import NOW, arm, cost, interval, profile

from exporters.lora.layout import LoraLayout, LoraTensor
from exporters.manifest import Architecture, Manifest
from toolkit.plan.backprop import BackpropRule, backprop_extra_bytes
from toolkit.plan.convergence import ConvergenceRow, ConvergenceTable
from toolkit.plan.errors import PlanError
from toolkit.plan.plan import plan
from toolkit.plan.verdict import duration


def row(method, **fields):
    usual = {
        "target_accuracy": 0.85,
        "rounds": 10,
        "clients": 2,
        "batch": 4,
        "tokens": 32,
        "bytes_down": 1000,
        "bytes_up": 500,
    }
    return ConvergenceRow(method=method, **(usual | fields))


OURS = row("ours", probes=120, division="makespan")
PUBLISHED = row("published", probes=120)
BP = row("bp", bp_steps=40)
HEAD = row("head", forward_passes=40)


def table(*rows):
    return ConvergenceTable(task="news", model="small", rows=rows)


def make(profiles, *rows, **settings):
    return plan(profiles, table(*rows), now=NOW, **settings)


def method(made, name):
    return next(each for each in made.methods if each.method == name)


def manifest(layers=4, adapted=(2, 3)) -> Manifest:
    tensors, offset = [], 0
    for layer in adapted:
        for matrix, shape in (("A", (2, 8)), ("B", (8, 2))):
            tensors.append(
                LoraTensor(layer=layer, module="q_proj", matrix=matrix, shape=shape, offset=offset)
            )
            offset += 16
    return Manifest.model_construct(
        architecture=Architecture(
            family="llama",
            layers=layers,
            hidden_size=8,
            feed_forward_size=16,
            heads=2,
            key_value_heads=1,
            head_size=4,
            vocabulary_size=100,
            context_length=64,
            rope_theta=1e4,
            rope_scaling=None,
            rms_norm_epsilon=1e-5,
            tied_embeddings=True,
            attention_bias=False,
        ),
        lora=LoraLayout(rank=2, alpha=2.0, tensors=tuple(tensors)),
    )


# Time


def test_times_follow_from_counts_and_profiles():
    """Seconds per probe 1 and 3, so per forward pass 0.5 and 1.5."""
    made = make([profile("fast"), profile("slow", seconds=3.0)], OURS, PUBLISHED, BP, HEAD)
    # 12 probes a round: 9 and 3, or 6 and 6.
    assert method(made, "ours").seconds.value == pytest.approx(10 * 9.0)
    assert method(made, "published").seconds.value == pytest.approx(10 * 18.0)
    # 2 steps, or 2 passes, a round and client; the slow device decides.
    assert method(made, "bp").seconds.value == pytest.approx(10 * 2 * 3 * 1.5)
    assert method(made, "head").seconds.value == pytest.approx(10 * 2 * 1.5)


def test_no_product_of_runs_and_profiles_is_called_measured():
    made = make([profile("a"), profile("b")], OURS, BP)
    for each in made.methods:
        assert each.seconds.provenance == "modelled"
        assert each.bytes_up.provenance == "measured"
    assert method(made, "ours").peak_memory_bytes.provenance == "measured"
    assert "2 of 2 devices" in method(made, "ours").seconds.basis
    unmeasured = make([profile("a")], row("ours", probes=120, batch=8))
    assert "measured on 0 of 1 devices" in unmeasured.methods[0].seconds.basis
    assert unmeasured.methods[0].peak_memory_bytes.provenance == "modelled"


def test_a_smaller_fleet_shares_the_work_of_all_clients():
    made = make([profile("only")], OURS, BP)
    assert method(made, "ours").seconds.value == pytest.approx(10 * 12.0)
    assert method(made, "bp").seconds.value == pytest.approx(10 * 4 * 1.5)
    assert any("1 devices share their work" in note for note in method(made, "bp").notes)


def test_a_larger_fleet_is_drawn_from():
    """Of 2 fast and 2 slow devices, 2 are drawn: both fast in 1 of 6 rounds."""
    profiles = [profile("a"), profile("b"), profile("c", seconds=9.0), profile("d", seconds=9.0)]
    made = make(profiles, BP)
    expected = 10 * 3 * 2 * (0.5 / 6 + 4.5 * 5 / 6)
    assert made.methods[0].seconds.value == pytest.approx(expected, rel=0.1)
    assert make(profiles, BP) == made


def test_network_and_fixed_seconds_count_where_they_are_given():
    plain = make([profile("a"), profile("b")], BP).methods[0].seconds.value
    network = make([profile("a"), profile("b")], BP, link_bits_per_s=100.0)
    assert network.methods[0].seconds.value == pytest.approx(plain + 1500 / 2 * 8 / 100)
    fixed = make([profile("a"), profile("b")], BP, fixed_s=7.0)
    assert fixed.methods[0].seconds.value == pytest.approx(plain + 70)


def test_a_forward_probe_pays_its_base_pass_once_a_round():
    made = make([profile("a")], row("one-sided", probes=120, clients=1, estimator="forward"))
    assert made.methods[0].seconds.value == pytest.approx(10 * (12 * 0.5 + 0.5))


def test_a_hot_device_is_slower_in_everything():
    cool = make([profile("a")], OURS, BP, HEAD)
    hot = make([profile("a", sustained=interval(2.0))], OURS, BP, HEAD)
    for before, after in zip(cool.methods, hot.methods, strict=True):
        assert after.seconds.value == pytest.approx(2 * before.seconds.value)


def test_the_rule_prices_a_step():
    usual = make([profile("a")], BP).methods[0].seconds.value
    dear = make([profile("a")], BP, rule=BackpropRule(passes=2.0, recompute=True))
    assert dear.methods[0].seconds.value == pytest.approx(usual)
    assert "computed twice" in dear.methods[0].seconds.basis


def test_repetitions_give_the_median_and_their_range():
    rows = [row("ours", probes=probes, seed=seed) for seed, probes in enumerate((100, 200, 600))]
    figure = make([profile("a")], *rows).methods[0].seconds
    assert (figure.low, figure.value, figure.high) == pytest.approx((100, 200, 600))


@given(
    st.lists(st.floats(0.1, 10), min_size=1, max_size=6),
    st.integers(1, 400),
    st.integers(1, 20),
)
@settings(max_examples=60, deadline=None)
def test_the_smallest_makespan_is_never_slower_than_equal_shares(seconds, probes, rounds):
    profiles = [profile(f"p{n}", seconds=each) for n, each in enumerate(seconds)]
    fields = {"probes": probes, "rounds": rounds, "clients": len(seconds)}
    made = make(profiles, row("ours", division="makespan", **fields), row("published", **fields))
    ours, published = (each.seconds.value for each in made.methods)
    assert ours <= published * (1 + 1e-12)


# Energy and memory


def test_energy_needs_the_power_of_every_device():
    known = make([profile("a", joules=2.0), profile("b", joules=2.0)], PUBLISHED, BP)
    assert method(known, "published").joules.value == pytest.approx(240.0)  # 120 probes
    assert method(known, "bp").joules.value == pytest.approx(40 * 3 * 1.0)  # half a probe a pass
    unknown = make([profile("a", joules=2.0), profile("b")], PUBLISHED)
    assert unknown.methods[0].joules is None
    assert "power of 1 of 2 devices" in unknown.methods[0].notes[0]


def test_memory_of_backpropagation_by_hand():
    rule = BackpropRule()
    per_token = 4 * 8 + 2 * 2 * 4 + 2 * 1 * 4 + 2 * 10 + 3 * 16
    floats = 3 * (10 * 2 * per_token + 2 * 100) + 64 * 3
    assert backprop_extra_bytes(manifest(), rule, batch=3, tokens=10) == 4 * floats
    kept = 2 * 8 + per_token
    floats = 3 * (10 * kept + 2 * 100) + 64 * 1
    again = BackpropRule(recompute=True, optimizer_moments=0)
    assert backprop_extra_bytes(manifest(), again, batch=3, tokens=10) == 4 * floats


def test_memory_of_backpropagation_is_modelled_measured_or_unknown():
    profiles = [profile("a")]
    unknown = make(profiles, BP).methods[0]
    assert unknown.peak_memory_bytes is None and "not known" in unknown.notes[-1]
    modelled = make(profiles, BP, manifest=manifest()).methods[0].peak_memory_bytes
    extra = backprop_extra_bytes(manifest(), BackpropRule(), batch=4, tokens=32)
    assert modelled.provenance == "modelled"
    assert modelled.value == pytest.approx((100 << 20) + extra)
    measured = make(
        profiles, row("bp", bp_steps=40, client_peak_bytes=5 << 20), manifest=manifest()
    )
    assert measured.methods[0].peak_memory_bytes.value == 5 << 20
    assert measured.methods[0].peak_memory_bytes.provenance == "measured"


# Verdicts


def test_it_says_when_backpropagation_wins():
    made = make([profile("a"), profile("b")], OURS, BP, manifest=manifest())
    assert method(made, "bp").seconds.value < method(made, "ours").seconds.value
    assert any(text.startswith("backpropagation wins here: bp") for text in made.verdicts)


def test_it_says_when_forward_gradients_win():
    made = make([profile("a"), profile("b")], OURS, row("bp", bp_steps=4000))
    text = next(text for text in made.verdicts if "forward gradients win here: ours" in text)
    assert "whether bp fits in their memory is not known" in text


def test_it_says_in_how_many_memories_backpropagation_does_not_fit():
    bp = row("bp", bp_steps=40, client_peak_bytes=1 << 30)
    profiles = [profile("big"), profile("small", memory=1 << 30), profile("tiny", memory=1 << 29)]
    made = make(profiles, OURS, bp)
    text = " ".join(made.verdicts)
    assert "bp does not fit in the memory of 2 of 3 devices (it needs up to 1.07e+03 MB" in text
    assert "on the 1 of 3 devices that can run it" in text
    assert {left.target for left in method(made, "bp").left_out} == {"small", "tiny"}
    # One device does the steps of both clients.
    assert method(made, "bp").seconds.value == pytest.approx(10 * 4 * 3 * 0.5)


def test_what_fits_nowhere_has_no_time():
    made = make([profile("a")], OURS, row("bp", bp_steps=40, client_peak_bytes=1 << 40))
    assert method(made, "bp").seconds is None
    assert any("of 1 of 1 devices" in text for text in made.verdicts)
    assert any("no backpropagation method" in text for text in made.verdicts)


def test_an_unreached_target_has_no_time():
    made = make([profile("a")], row("ours", probes=10, reached=False), BP)
    assert method(made, "ours").seconds is None and method(made, "ours").bytes_up is None
    assert "ours did not reach 0.85 in its runs" in made.verdicts
    assert any("no forward-gradient method" in text for text in made.verdicts)


def test_a_head_that_suffices_is_pointed_out():
    made = make([profile("a")], OURS, BP, HEAD)
    assert any("training the head alone is fastest" in text for text in made.verdicts)
    slow = make([profile("a")], OURS, row("head", forward_passes=40_000))
    assert not any("head alone" in text for text in slow.verdicts)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "0.5 s"), (119, "119 s"), (300, "5 min"), (7200, "2 h"), (864_000, "10 days")],
)
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text


# Targets and profiles


def test_the_highest_target_that_every_method_has_is_taken():
    rows = (row("ours", probes=9, target_accuracy=0.9), OURS, BP)
    assert make([profile("a")], *rows).target_accuracy == 0.85
    assert make([profile("a")], *rows, target_accuracy=0.9).methods[0].method == "ours"
    with pytest.raises(PlanError, match=r"accuracy of 0\.7") as error:
        make([profile("a")], *rows, target_accuracy=0.7)
    assert "0.9, 0.85" in error.value.remedy


def test_expired_and_invalid_profiles_are_left_out_with_the_reason():
    made = make(
        [
            profile("a"),
            profile("a", measured=NOW - timedelta(days=1)),
            profile("old", measured=NOW - timedelta(days=40)),
            profile("broken", verdict="invalid"),
        ],
        OURS,
    )
    assert made.devices == 1
    assert {left.target: left.reason.split()[0] for left in made.left_out} == {
        "a": "superseded",
        "old": "its",
        "broken": "invalid",
    }


@pytest.mark.parametrize(
    ("profiles", "settings", "message"),
    [
        ([], {}, "no profiles"),
        ([profile("a", verdict="invalid")], {}, "a: invalid"),
        ([profile("a"), profile("b", bundle="c" * 64)], {}, "different bundles"),
        ([profile("a")], {"manifest_sha256": "d" * 64}, "not the one"),
        ([profile("a")], {"link_bits_per_s": 0.0}, "link"),
        ([profile("a")], {"fixed_s": -1.0}, "fixed seconds"),
    ],
)
def test_impossible_plans_are_refused(profiles, settings, message):
    with pytest.raises(PlanError, match=message):
        make(profiles, OURS, **settings)


def test_a_tangent_method_needs_tangent_probes():
    """They pay no base pass."""
    tangent = row("tangent", probes=120, clients=1, estimator="tangent")
    made = make([profile("a"), profile("b", arms=(arm(estimator="tangent"),))], tangent)
    assert [left.target for left in made.methods[0].left_out] == ["a"]
    assert made.methods[0].seconds.value == pytest.approx(10 * 12)


def test_a_tangent_method_is_priced_by_the_cost_model_of_tangents():
    tangent = row("tangent", probes=120, clients=1, estimator="tangent", directions_per_pass=8)
    made = make([profile("a", tangents=cost(0.4))], tangent)
    assert made.methods[0].seconds.value == pytest.approx(10 * 12 * (0.2 + 9 * 0.2) / 8)


def test_a_profile_of_tangents_alone_does_not_tell_what_a_plain_pass_takes():
    only = profile("a", arms=(arm(estimator="tangent"),), differences=False, tangents=cost(0.4))
    made = make([only, profile("b")], BP)
    assert [(left.target, left.reason) for left in made.methods[0].left_out] == [
        ("a", "its profile does not tell")
    ]


@pytest.mark.parametrize(
    "make_rule", [lambda: BackpropRule(passes=0.5), lambda: BackpropRule(optimizer_moments=-1)]
)
def test_malformed_rules_are_refused(make_rule):
    with pytest.raises(PlanError):
        make_rule()
