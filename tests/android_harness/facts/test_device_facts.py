from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.facts.device_facts import DeviceFacts, parse_device_facts, read_device_facts
from android_harness.fake_phone import FakePhone
from android_harness.targets.open_target import open_target

pytestmark = pytest.mark.usefixtures("private_home")

# name: (manufacturer, model, chip, preferred ABI, Android release, SDK, cores)
KNOWN = {
    "pixel-8": ("Google", "Pixel 8", "zuma", "arm64-v8a", "14", 34, 9),
    "alcatel-revvl": ("AlcatelOneTouch", "5049W", "MT6755", "arm64-v8a", "7.0", 24, 8),
    "galaxy-s8-us": ("samsung", "SM-G950U", "MSM8998", "arm64-v8a", "7.0", 24, 8),
    "leagoo-t5c": ("LEAGOO", "T5c", "sp9853i", "x86_64", "7.0", 24, 8),
    "lg-optimus-g-pro": ("LGE", "LG-E980", "msm8960", "armeabi-v7a", "4.4.2", 19, 4),
    "meizu-pro-6s": ("Meizu", "PRO 6s", "MT6797", "arm64-v8a", "6.0", 23, 10),
}


def facts_of(recording: Path) -> DeviceFacts:
    recorded = json.loads(recording.read_text())
    with (
        FakePhone(props=recorded["props"], files=recorded["files"]) as phone,
        open_target(phone.target) as target,
    ):
        return read_device_facts(target)


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_facts_of_known_phones(shared_data: Path, name: str) -> None:
    facts = facts_of(shared_data / "phones" / "proc_sys" / f"{name}.json")

    assert KNOWN[name] == (
        facts.manufacturer,
        facts.model,
        facts.soc,
        facts.abi,
        facts.os_release,
        facts.android_sdk,
        facts.cpu_count,
    )
    assert facts.memory_total_bytes is None  # the recordings have no /proc/meminfo


def test_every_recorded_phone_tells_what_it_is(shared_data: Path) -> None:
    recordings = sorted((shared_data / "phones" / "proc_sys").glob("*.json"))
    assert len(recordings) == 41

    with ThreadPoolExecutor(8) as pool:
        all_facts = list(pool.map(facts_of, recordings))
    for recording, facts in zip(recordings, all_facts, strict=True):
        properties = json.loads(recording.read_text())["props"]
        assert facts.os == "android"
        assert facts.manufacturer == properties["ro.product.manufacturer"]
        assert facts.model == properties["ro.product.model"]
        assert facts.soc, recording.name
        assert facts.abi == facts.abis[0]
        assert facts.cpu_count in (2, 4, 6, 8, 9, 10), recording.name
        assert facts.cpu_features, recording.name


def test_facts_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    with open_target("local") as target:
        facts = read_device_facts(target)

    assert facts.os == "linux"
    assert facts.cpu_count == len(os.sched_getaffinity(0))
    assert facts.memory_total_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert facts.page_size_bytes == os.sysconf("SC_PAGE_SIZE")
    assert facts.abi is not None


def test_what_a_device_does_not_tell_is_unknown() -> None:
    facts = parse_device_facts("")

    assert (facts.manufacturer, facts.soc, facts.abi, facts.cpu_count) == (None,) * 4
    assert (facts.abis, facts.cpu_features) == ((), ())


@given(
    st.lists(
        st.one_of(
            st.text(max_size=80),
            st.sampled_from(
                ["@@fwdllm getprop", "@@fwdllm possible", "@@fwdllm meminfo", "@@fwdllm nproc"]
            ),
            st.from_regex(r"\[[a-z.]{1,20}\]: \[.{0,20}\]", fullmatch=True),
            st.from_regex(r"MemTotal: +[0-9]{1,20} kB", fullmatch=True),
            st.from_regex(r"[0-9]{1,8}-[0-9]{1,8}(,[0-9]{1,8})?", fullmatch=True),
        ),
        max_size=12,
    )
)
def test_no_output_breaks_the_parser(lines: list[str]) -> None:
    facts = parse_device_facts("\n".join(lines))

    assert facts.cpu_count is None or facts.cpu_count > 0
    assert DeviceFacts.model_validate_json(facts.model_dump_json()) == facts
