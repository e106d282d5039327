"""Android's own programs for a fake phone: `settings`, `cmd`, `dumpsys` and `input`, with a memory.

They answer as the shells of Android's services do (SettingsService, PowerManagerShellCommand,
ConnectivityService, NotificationShellCmd), in the same words and with the same exit codes, and
lack what a release lacks. What was changed is kept in files under `$HOME/android`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

_DEFAULTS = {
    "global.airplane_mode_on": "0",
    "global.low_power": "0",
    "global.stay_on_while_plugged_in": "0",
    "global.zen_mode": "0",
    "system.screen_brightness": "102",
    "system.screen_brightness_mode": "1",
    "system.screen_off_timeout": "60000",
    "power.wakefulness": "Awake",
}

_MEMORY = """#!/bin/sh
memory=$HOME/android
sdk={sdk}
charging={charging}

remembered() {{
  if [ -f "$memory/$1" ]; then
    cat "$memory/$1"
    return
  fi
  case $1 in
{defaults}
  *) echo null ;;
  esac
}}

remember() {{
  mkdir -p "$memory"
  printf '%s\\n' "$2" >"$memory/$1"
}}
"""

_SETTINGS = """
case $1 in
get | put | delete) ;;
*) echo "Invalid command: $1" >&2; exit 255 ;;
esac
case $2 in
system | secure | global) ;;
*) echo "Invalid namespace '$2'" >&2; exit 255 ;;
esac
case $1$# in
get3) remembered "$2.$3" ;;
put4)
  # Battery saver and charging exclude each other.
  if [ "$charging$2.$3$4" != 1global.low_power1 ]; then
    remember "$2.$3" "$4"
  fi
  ;;
delete3)
  if [ "$(remembered "$2.$3")" = null ]; then
    echo "Deleted 0 rows"
  else
    remember "$2.$3" null
    echo "Deleted 1 rows"
  fi
  ;;
*) echo "Bad arguments" >&2; exit 255 ;;
esac
"""

_CMD = """
unknown() {{
  echo "Unknown command: $1"
  exit 255
}}

no_shell() {{
  echo "No shell command implementation." >&2
  exit
}}

power() {{
  [ "$sdk" -ge 27 ] || no_shell
  case $1 in
  set-mode)
    # Android ignores it while the device charges, without a word.
    [ "$charging" = 1 ] || remember global.low_power "$2"
    ;;
  set-fixed-performance-mode-enabled)
    [ "$sdk" -ge 30 ] || unknown "$1"
    if [ {fixed_performance} = 0 ]; then
      echo "Failed to set FIXED_PERFORMANCE mode" >&2
      echo "This is likely because Power HAL AIDL is not implemented on this device" >&2
      exit 255
    fi
    remember power.fixed_performance "$2"
    ;;
  *) unknown "$1" ;;
  esac
}}

connectivity() {{
  [ "$sdk" -ge 28 ] || no_shell
  [ "$1" = airplane-mode ] || unknown "$1"
  if [ "$sdk" -lt 30 ]; then
    echo "Security exception: ConnectivityService" >&2
    exit 255
  fi
  case $2 in
  enable) remember global.airplane_mode_on 1 ;;
  disable) remember global.airplane_mode_on 0 ;;
  *) unknown "$2" ;;
  esac
}}

notification() {{
  [ "$sdk" -ge 28 ] || no_shell
  [ "$1" = set_dnd ] && [ "$sdk" -ge 30 ] || unknown "$1"
  case $2 in
  off | all) remember global.zen_mode 0 ;;
  priority) remember global.zen_mode 1 ;;
  on | none) remember global.zen_mode 2 ;;
  alarms) remember global.zen_mode 3 ;;
  *) echo "Error occurred. Check logcat for details. Invalid filter: 0" ;;
  esac
}}

service=$1
shift
case $service in
power | connectivity | notification) "$service" "$@" ;;
settings) exec settings "$@" ;;
*) echo "cmd: Can't find service: $service" >&2; exit 20 ;;
esac
"""

_DUMPSYS = """
case $1 in
power)
  echo "POWER MANAGER (dumpsys power)"
  echo
  echo "Power Manager State:"
  echo "  mDirty=0x0"
  echo "  mWakefulness=$(remembered power.wakefulness)"
  echo "  mWakefulnessChanging=false"
  ;;
{dumps}
*) echo "Can't find service: $1" >&2 ;;
esac
"""

_INPUT = """
case $1$2 in
keyevent223 | keyeventKEYCODE_SLEEP) remember power.wakefulness Asleep ;;
keyevent224 | keyeventKEYCODE_WAKEUP) remember power.wakefulness Awake ;;
keyevent*) ;;
*) echo "Error: Unknown command: $1" >&2; exit 255 ;;
esac
"""


def android_programs(
    *,
    sdk: int = 34,
    charging: bool = True,
    fixed_performance: bool = True,
    settings: Mapping[str, str] | None = None,
    dumps: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Scripts for a `FakePhone`.

    Args:
        sdk: the API level whose commands there are.
        charging: whether it is plugged in, which rules battery saver out.
        fixed_performance: whether the vendor's power HAL knows that mode.
        settings: values by `NAMESPACE.KEY`, over those of a plausible phone; `power.wakefulness`
            is that of the power manager.
        dumps: what dumpsys prints of more services.
    """
    memory = _MEMORY.format(
        sdk=sdk,
        charging=int(charging),
        defaults="\n".join(
            f"  {shlex.quote(name)}) echo {shlex.quote(value)} ;;"
            for name, value in {**_DEFAULTS, **(settings or {})}.items()
        ),
    )
    printed = "\n".join(
        f"{shlex.quote(service)}) printf '%s' {shlex.quote(text)} ;;"
        for service, text in (dumps or {}).items()
    )
    return {
        "settings": memory + _SETTINGS,
        "cmd": memory + _CMD.format(fixed_performance=int(fixed_performance)),
        "dumpsys": memory + _DUMPSYS.format(dumps=printed),
        "input": memory + _INPUT,
    }
