from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_harness.facts.device_facts import DeviceFacts, parse_device_facts, read_device_facts
from android_harness.fake_phone import FakePhone
from android_harness.fake_phone.recorded_facts import recorded_facts
from android_harness.targets.open_target import open_target

pytestmark = pytest.mark.usefixtures("private_home")

# name: (manufacturer, model, preferred ABI, Android release, SDK, build type)
KNOWN = {
    "pixel-8": ("Google", "Pixel 8", "arm64-v8a", "14", 34, "userdebug"),
    "alcatel-revvl": ("AlcatelOneTouch", "5049W", "arm64-v8a", "7.0", 24, "user"),
    "leagoo-t5c": ("LEAGOO", "T5c", "x86_64", "7.0", 24, "user"),
    "lg-optimus-g-pro": ("LGE", "LG-E980", "armeabi-v7a", "4.4.2", 19, "user"),
    "padcod-10.1": ("softwinner", "V11", "armeabi-v7a", "4.4.2", 19, "eng"),
}

EARLY_FIELDS = {
    "manufacturer",
    "model",
    "soc",
    "os",
    "os_release",
    "android_sdk",
    "build_fingerprint",
    "kernel",
    "abi",
    "abis",
    "cpu_count",
    "cpu_model",
    "cpu_features",
    "memory_total_bytes",
    "page_size_bytes",
}


def read_over_adb(recording: Path) -> DeviceFacts:
    recorded = json.loads(recording.read_text())
    with (
        FakePhone(props=recorded["props"], files=recorded["files"]) as phone,
        open_target(phone.target) as target,
    ):
        return read_device_facts(target)


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_facts_of_known_phones(shared_data: Path, name: str) -> None:
    recording = shared_data / "phones" / "proc_sys" / f"{name}.json"
    facts = read_over_adb(recording)

    assert KNOWN[name] == (
        facts.manufacturer,
        facts.model,
        facts.abi,
        facts.os_release,
        facts.android_sdk,
        facts.build_type,
    )
    assert (facts.os, facts.abi, facts.emulator) == ("android", facts.abis[0], False)
    # Of the script itself these are the same; uname and getconf are those of this machine.
    assert facts == recorded_facts(recording)


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
    assert facts.emulator is None
    cpuinfo = Path("/proc/cpuinfo").read_text()
    flags = re.search(r"^(?:flags|Features)\s*: (.*)$", cpuinfo, re.MULTILINE)
    assert flags is not None and set(facts.common_features) <= set(flags[1].split())
    assert facts.cpu_features == tuple(flags[1].split())
    listed = re.findall(r"^processor\s*: (\d+)$", cpuinfo, re.MULTILINE)
    cores = {core for cluster in facts.clusters for core in cluster.cores}
    assert {int(number) for number in listed} <= cores
    assert int(facts.fastest_cores_mask or "0", 16) > 0


def test_a_profile_written_before_clusters_were_known_can_be_read() -> None:
    early = {
        name: value
        for name, value in parse_device_facts("").model_dump(mode="json").items()
        if name in EARLY_FIELDS
    }

    facts = DeviceFacts.model_validate(early)
    assert (facts.clusters, facts.accelerators, facts.sources) == ((), (), {})
    assert (facts.fastest_cores, facts.fastest_cores_mask) == ((), None)


def test_emulators_are_known_by_their_properties() -> None:
    table = "@@fwdllm getprop\n[ro.hardware]: [ranchu]\n[ro.product.model]: [sdk_gphone64_x86_64]"

    assert parse_device_facts(table).emulator is True
    assert parse_device_facts(table.replace("ranchu", "qcom")).emulator is False


def test_what_a_device_does_not_tell_is_unknown() -> None:
    facts = parse_device_facts("")

    assert (facts.manufacturer, facts.soc, facts.abi, facts.cpu_count) == (None,) * 4
    assert (facts.abis, facts.cpu_features, facts.clusters, facts.sources) == ((), (), (), {})
    assert facts.summary == ""


@given(
    st.lists(
        st.one_of(
            st.text(max_size=80),
            st.sampled_from(
                [
                    "@@fwdllm getprop",
                    "@@fwdllm files",
                    "@@fwdllm signs",
                    "@@fwdllm cpuinfo",
                    "@@fwdllm meminfo",
                    "@@fwdllm nproc",
                    "CPU implementer : 0x41",
                    "CPU part : 0xd03",
                    "vendor_id : GenuineIntel",
                ]
            ),
            st.from_regex(r"\[[a-z.]{1,20}\]: \[.{0,20}\]", fullmatch=True),
            st.from_regex(r"MemTotal: +[0-9]{1,20} kB", fullmatch=True),
            st.from_regex(r"processor : [0-9]{1,8}", fullmatch=True),
            st.builds(
                "/sys/devices/system/cpu/{}={}".format,
                st.sampled_from(
                    [
                        "present",
                        "online",
                        "cpu0/cpufreq/related_cpus",
                        "cpu1/cpufreq/cpuinfo_max_freq",
                        "cpu1/topology/core_siblings_list",
                        "cpu2/regs/identification/midr_el1",
                    ]
                ),
                st.one_of(
                    st.from_regex(r"[0-9]{1,8}-[0-9]{1,8}(,[0-9]{1,8})?", fullmatch=True),
                    st.from_regex(r"0x[0-9a-f]{1,16}", fullmatch=True),
                    st.integers(0).map(str),
                    st.text(max_size=10),
                ),
            ),
        ),
        max_size=20,
    )
)
def test_no_output_breaks_the_parser(lines: list[str]) -> None:
    facts = parse_device_facts("\n".join(lines))

    assert facts.cpu_count is None or facts.cpu_count > 0
    cores = [core for cluster in facts.clusters for core in cluster.cores]
    assert len(cores) == len(set(cores))
    assert set(facts.fastest_cores) <= set(cores)
    assert DeviceFacts.model_validate_json(facts.model_dump_json()) == facts
