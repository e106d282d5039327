"""The scripts that read a device in one round trip each, and their output taken apart.

They are plain POSIX shell for Android's mksh with toybox, for dash and for busybox. No command
has to exist: what cannot be read leaves its section empty. A device may name the root of its
/proc, /sys, /dev and /vendor in $FWDLLM_SYSTEM_ROOT, as the fake phone does when it serves a
recorded one.
"""

from __future__ import annotations

from android_harness.facts import accelerators_seen
from android_harness.facts.free_space import ASK_DF, FIND_FOLDER

# For a device that hangs; each of Android's services may take ten seconds to fail.
TIMEOUT_S = 60.0

_MARK = "@@fwdllm "
_CPU = "/sys/devices/system/cpu"

# `read` is the shell's own: hundreds of small files are read without a process for each.
_FUNCTIONS = """root=$FWDLLM_SYSTEM_ROOT
lines() {
  for file do
    value=
    { read -r value <"$file"; } 2>/dev/null
    [ -n "$value" ] && echo "${file#"$root"}=$value"
  done
}
present() {
  for file do
    [ -e "$file" ] && echo "${file#"$root"}"
  done
}
"""

_SMALL_FILES = (
    f"{_CPU}/possible",
    f"{_CPU}/present",
    f"{_CPU}/online",
    *(
        f"{_CPU}/cpu[0-9]*/{name}"
        for name in (
            "cpufreq/related_cpus",
            "cpufreq/cpuinfo_max_freq",
            "cpufreq/cpuinfo_min_freq",
            "cpu_capacity",
            "topology/core_siblings_list",
            "topology/cluster_cpus_list",
            "regs/identification/midr_el1",
        )
    ),
    f"{_CPU}/cpufreq/policy[0-9]*/related_cpus",
    "/sys/devices/soc0/machine",
    *accelerators_seen.NAMES,
)
_STATUS_FILES = (
    "/proc/uptime",
    f"{_CPU}/online",
    f"{_CPU}/cpu[0-9]*/cpufreq/scaling_max_freq",
    f"{_CPU}/cpu[0-9]*/cpufreq/cpuinfo_max_freq",
    "/sys/class/thermal/thermal_zone[0-9]*/type",
    "/sys/class/thermal/thermal_zone[0-9]*/temp",
)


def _section(name: str, command: str) -> str:
    return f'echo "{_MARK}{name}"; {{ {command}; }} 2>/dev/null; echo\n'


def _under_root(paths: tuple[str, ...]) -> str:
    return " ".join(f'"$root"{path}' for path in paths)


FACTS = (
    _FUNCTIONS
    + _section("files", f"lines {_under_root(_SMALL_FILES)}")
    + _section(
        "signs", f"present {_under_root(tuple(sign[0] for sign in accelerators_seen.SIGNS))}"
    )
    + "".join(
        _section(name, f'cat "$root"{path}')
        for name, path in {
            "cpuinfo": "/proc/cpuinfo",
            "meminfo": "/proc/meminfo",
            "os-release": "/etc/os-release",
            "vendor": "/sys/class/dmi/id/sys_vendor",
            "product": "/sys/class/dmi/id/product_name",
            "devicetree": "/proc/device-tree/model",
        }.items()
    )
    + "".join(
        _section(name, command)
        for name, command in {
            "getprop": "getprop",
            "machine": "uname -m",
            "kernel": "uname -sr",
            "pagesize": "getconf PAGE_SIZE",
            # GNU's nproc would otherwise tell what OpenMP was limited to.
            "nproc": "(unset OMP_NUM_THREADS OMP_THREAD_LIMIT; nproc)",
            "gles": "dumpsys SurfaceFlinger | grep GLES:",
            "vulkan": "cmd gpu vkjson | grep -e deviceName -e apiVersion",
            "features": "cmd package list features | grep vulkan",
        }.items()
    )
    + "exit 0"
)

# Its argument is a folder: free space is told of the nearest one above it that is there.
STATUS = (
    _FUNCTIONS
    + FIND_FOLDER
    + _section("files", f"lines {_under_root(_STATUS_FILES)}")
    + _section("meminfo", 'cat "$root"/proc/meminfo')
    + _section("supplies", 'cat "$root"/sys/class/power_supply/*/uevent')
    + "".join(
        _section(name, command)
        for name, command in {
            "space": ASK_DF,
            "battery": "dumpsys battery",
            "thermal": "dumpsys thermalservice",
            "old-thermal": "dumpsys hardware_properties",
            "power": "dumpsys power | grep -e mWakefulness= -e 'Display Power:'",
            "low-power": "settings get global low_power",
            "airplane": "settings get global airplane_mode_on",
        }.items()
    )
    + "exit 0"
)


def sections(output: str) -> dict[str, str]:
    """What each part of a script printed, by its name."""
    found = {}
    for part in ("\n" + output.replace("\r\n", "\n")).split("\n" + _MARK)[1:]:
        name, _, content = part.partition("\n")
        found[name] = content.strip("\n\0 ")
    return found


def small_files(section: str) -> dict[str, str]:
    """Contents by path, as `lines` prints them."""
    pairs = (line.partition("=") for line in section.splitlines())
    return {path: value.strip() for path, equals, value in pairs if equals and path.startswith("/")}
