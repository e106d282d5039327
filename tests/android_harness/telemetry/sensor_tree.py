"""The /sys and /proc of a made-up phone whose shell may read everything."""

from __future__ import annotations

from pathlib import Path

ZONES = {0: ("BIG", "45000"), 1: ("LITTLE", "41500"), 2: ("BIG", "46000"), 3: ("soc", "80")}
CPU = "/sys/devices/system/cpu"
SUPPLIES = "/sys/class/power_supply"


def sensor_files() -> dict[str, str]:
    """Contents by absolute path, for `FakePhone(files=...)`."""
    files = {
        "/proc/meminfo": "MemTotal: 8000000 kB\nMemFree: 9 kB\nMemAvailable:    4000000 kB\n",
        f"{CPU}/cpufreq/policy0/scaling_cur_freq": "1803000\n",
        f"{CPU}/cpufreq/policy4/scaling_cur_freq": "2363000\n",
        f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "1803000\n",
        f"{SUPPLIES}/battery/type": "Battery\n",
        f"{SUPPLIES}/battery/current_now": "-229375\n",
        f"{SUPPLIES}/battery/voltage_now": "3975000\n",
        f"{SUPPLIES}/battery/status": "Discharging\n",
        f"{SUPPLIES}/battery/temp": "347\n",
        f"{SUPPLIES}/battery/charge_counter": "2726000\n",
        f"{SUPPLIES}/usb/type": "USB\n",
        f"{SUPPLIES}/usb/online": "0\n",
        f"{SUPPLIES}/mouse/type": "Battery\n",
        f"{SUPPLIES}/mouse/scope": "Device\n",
        f"{SUPPLIES}/mouse/voltage_now": "1500000\n",
        "/sys/class/thermal/cooling_device0/type": "thermal-cpufreq-0\n",
        "/sys/class/thermal/cooling_device0/cur_state": "2\n",
    }
    for number, (name, value) in ZONES.items():
        files[f"/sys/class/thermal/thermal_zone{number}/type"] = f"{name}\n"
        files[f"/sys/class/thermal/thermal_zone{number}/temp"] = f"{value}\n"
    return files


def make_sensor_tree(root: Path) -> Path:
    """The same as files below `root`, for $FWDLLM_SYSTEM_ROOT."""
    for name, content in sensor_files().items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root
