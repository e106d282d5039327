"""Whether one device can be used, and what it lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from android_harness.building.choose_runner import choose_runner
from android_harness.building.engines import ENGINES
from android_harness.diagnosis.finding import Finding
from android_harness.facts.device_facts import DeviceFacts, read_device_facts
from android_harness.facts.free_space import read_free_bytes
from android_harness.pushing.device_hash import FIND_HASH
from android_harness.target import Target
from android_harness.targets.open_target import open_target
from exporters.errors import FwdllmError

_ENOUGH_BYTES = 2e9  # a model of a few billion 4-bit weights, or a small one with its prefix states

# Puts a script into the workspace $1 and runs it; prints its exit code and what it said.
_EXECUTE = """
mkdir -p "$1" || exit 1
script=$1/doctor.$$
printf '#!%s\\nexit 7\\n' "$(command -v sh)" >"$script" && chmod 755 "$script" || exit 1
said=$("$script" 2>&1)
code=$?
rm -f "$script"
echo "$code $said"
"""
_SELINUX = """
getenforce 2>/dev/null || exit 0
ls -Zd "$1" 2>/dev/null
"""
_PROGRAMS = f"""
{FIND_HASH}
echo "sha256 $hash"
for each in "$@"; do echo "$each $(command -v "$each")"; done
"""


class _Program(NamedTuple):
    name: str
    needed: bool
    without: str  # what is done without it, or why that cannot be


_USED = (
    _Program("sha256", False, "content is read back after each push, which takes as long again"),
    _Program("dd", True, "files are written with it"),
    _Program("setsid", False, "a run may end with the connection that began it"),
    _Program("df", False, "a push finds out that the room is short only when it is used up"),
    _Program("stat", False, "`fwdllm clean` cannot tell what was not used for long"),
    _Program("du", False, "`fwdllm clean` cannot tell sizes"),
)


def diagnose_device(spec: str) -> list[Finding]:
    """Connects to the device and looks for what keeps a run from working there; never fails."""
    try:
        with open_target(spec) as target:
            facts = read_device_facts(target)
            reachable = Finding(f"{spec}: reachable", True, facts.summary)
            return [reachable, _runner_finding(target, facts), *_checked(target)]
    except FwdllmError as error:
        return [Finding(f"{spec}: reachable", False, error.message, error.remedy)]


def _runner_finding(target: Target, facts: DeviceFacts) -> Finding:
    check = f"{target.name}: runner"
    if facts.abi is None:
        return Finding(check, False, "the device does not tell its ABI", "use another device")
    refusals = []
    for engine in ENGINES:
        try:
            return Finding(check, True, str(choose_runner(target, facts, engine)))
        except FwdllmError as error:
            refusals.append(error)
    return Finding(check, False, refusals[0].message, refusals[0].remedy)


def _checked(target: Target) -> list[Finding]:
    """What each check finds; one that fails is a finding too."""
    findings = []
    checks: dict[str, Callable[[Target], list[Finding]]] = {
        "execution": _execution,
        "free space": _free_space,
        "SELinux": _selinux,
        "programs": _programs,
    }
    for name, check in checks.items():
        try:
            findings += check(target)
        except FwdllmError as error:
            findings.append(Finding(f"{target.name}: {name}", False, error.message, error.remedy))
    return findings


def _execution(target: Target) -> list[Finding]:
    check = f"{target.name}: execution"
    said = target.check(["sh", "-c", _EXECUTE, "execute", str(target.workspace)]).stdout.decode(
        errors="replace"
    )
    code, _, message = said.strip().partition(" ")
    if code == "7":
        return [Finding(check, True, f"programs run in {target.workspace}")]
    return [
        Finding(
            check,
            False,
            f"programs do not run in {target.workspace}: exit code {code} {message}".rstrip(),
            "the folder is mounted noexec, or SELinux denies it (look for `avc: denied` in "
            "`adb logcat -b all -d`): use /data/local/tmp, or set FWDLLM_WORKSPACE on the device",
        )
    ]


def _free_space(target: Target) -> list[Finding]:
    check = f"{target.name}: free space"
    free = read_free_bytes(target, target.workspace)
    if free is None:
        return [Finding(check, True, "unknown", "make sure by hand that a model fits")]
    enough = free >= _ENOUGH_BYTES
    remedy = (
        "" if enough else f"free some; `fwdllm clean --target {target.name}` shows what is ours"
    )
    return [Finding(check, enough, f"{free / 1e9:.1f} GB", remedy)]


def _selinux(target: Target) -> list[Finding]:
    command = ["sh", "-c", _SELINUX, "selinux", str(target.workspace)]
    said = target.run(command).stdout.decode(errors="replace").split()
    if not said:
        return []
    context = next((f", {word}" for word in said[1:] if word.count(":") >= 3), "")
    return [Finding(f"{target.name}: SELinux", True, f"{said[0]}{context}")]


def _programs(target: Target) -> list[Finding]:
    names = [program.name for program in _USED if program.name != "sha256"]
    said = target.check(["sh", "-c", _PROGRAMS, "programs", *names]).stdout.decode(errors="replace")
    found = dict(line.partition(" ")[::2] for line in said.splitlines())
    return [
        Finding(
            f"{target.name}: {program.name}",
            bool(found.get(program.name)) or not program.needed,
            found.get(program.name) or "missing",
            "" if found.get(program.name) else program.without,
        )
        for program in _USED
    ]
