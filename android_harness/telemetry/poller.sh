#!/bin/sh
# Reads a device's sensors into FOLDER/lines until its lease runs out. Plain POSIX sh: Android's
# mksh with toybox, dash, busybox. `poller.py` calls it and says what for; `device_lines.py` reads
# what it writes.
#
#   poller.sh start FOLDER INTERVAL_S DUMP_INTERVAL_S LEASE_S LIMIT_BYTES
#   poller.sh fetch FOLDER OFFSET CHUNK_BYTES LEASE_S
#   poller.sh finish FOLDER OFFSET CHUNK_BYTES
#
# $FWDLLM_SYSTEM_ROOT is before all paths of sensors. Time and processes are always this kernel's.

action=$1 folder=$2

# Sets `up` and `second`: seconds since boot, sleep included.
look_at_clock() {
  read -r up rest </proc/uptime
  second=${up%.*}
}

# Sets `started`: when process $1 started, in ticks after boot; empty when it runs no more.
look_at_start() {
  started='' stat=''
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null
  set -- ${stat##*) }
  [ $# -gt 19 ] && [ "$1" != Z ] && started=${20}
}

# Whether the poller of folder $1 runs; sets `process`, and `foreign` when it was of another boot.
runs() {
  process='' its_boot='' its_start='' foreign=''
  { read -r process its_boot its_start <"$1/pid"; } 2>/dev/null || return 1
  [ "$its_boot" = "$boot" ] || { foreign=yes; return 1; }
  look_at_start "$process"
  [ -n "$started" ] && [ "$started" = "$its_start" ]
}

# Removes what earlier pollers left whose hosts did not come back within an hour.
sweep() {
  for other in "${folder%/*}"/*; do
    [ "$other" != "$folder" ] && [ -d "$other" ] || continue
    runs "$other" && continue
    deadline=''
    { read -r deadline <"$other/lease"; } 2>/dev/null
    if [ -n "$foreign" ] || [ "$second" -gt $((${deadline:-0} + 3600)) ]; then
      rm -rf "$other"
    fi
  done
}

renew_lease() { echo $((second + $1)) >"$folder/lease"; }

boot=-
{ read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
look_at_clock

# Prints how the poller is, and at most $2 bytes of what it wrote from byte $1 on.
show() {
  echo "$state $up"
  tail -c "+$(($1 + 1))" "$folder/lines" 2>/dev/null | head -c "$2"
}

case $action in
start)
  # Whoever asks again after a lost answer does not get a second poller.
  mkdir "$folder/begun" 2>/dev/null || exit 0
  renew_lease "$5"
  sweep
  # A process group of its own, for the kill at the end; none before Android 6.
  command -v setsid >/dev/null 2>&1 || setsid() { exec "$@"; }
  shift
  setsid sh "$0" poll "$@" >/dev/null 2>&1 </dev/null &
  process=$!
  look_at_start "$process"
  echo "$process $boot $started" >"$folder/pid"
  exit 0
  ;;
fetch)
  state=ended
  if runs "$folder"; then
    state=running
    renew_lease "$5"
  fi
  show "$3" "$4"
  exit 0
  ;;
finish)
  runs "$folder" && kill -9 "$process" "-$process" 2>/dev/null
  state=ended
  show "$3" "$4"
  exit 0
  ;;
esac

# The poller itself. Forks are dear on a phone: `read` takes a file without one, and only sleep,
# dumpsys and cmd are programs.
interval=$3 dump_interval=$4 limit=$6
sleep "$interval" || interval=$((${interval%.*} + 1)) # whole seconds only, here
exec 3>>"$folder/lines" || exit 1
cd "$FWDLLM_SYSTEM_ROOT/" || exit 1
bytes=0 fast='' slow='' dumps=''

say() {
  echo "$1" >&3 || exit 1 # no space: what is there stays
  bytes=$((bytes + ${#1} + 1))
}

end() {
  say "e $up $1"
  exit 0
}

# Sets `value` to the number in file $1, or `-`. States of charge get BatteryManager's numbers.
look_at() {
  value=''
  case $1 in
  proc/meminfo) look_at_memory ;;
  /proc/self/stat) look_at_own_time ;;
  *) read -r value <"$1" ;;
  esac
  case $value in
  Unknown) value=1 ;;
  Charging) value=2 ;;
  Discharging) value=3 ;;
  'Not charging') value=4 ;;
  Full) value=5 ;;
  '' | *[!0-9-]*) value=- ;;
  esac
}

# Sets `value` to MemAvailable in kB (since Linux 3.14).
look_at_memory() {
  while read -r key kilobytes unit; do
    [ "$key" != MemAvailable: ] || { value=$kilobytes; break; }
  done <proc/meminfo
}

# Sets `value` to the CPU time of this process and of the programs that it waited for, in ticks.
look_at_own_time() {
  read -r stat <"/proc/$$/stat"
  set -- ${stat##*) }
  value=$((${12} + ${13} + ${14} + ${15}))
}

# Declares a column when file $3 has a number: $1 fast or slow, $2 the quantity, $4 the sensor.
column() {
  look_at "$3"
  [ "$value" != - ] || return 1
  say "c $1 $2 /${3#/} $4"
  case $1 in
  fast) fast="$fast $3" ;;
  slow) slow="$slow $3" ;;
  esac
}

# Sets `name` to the first line of file $1, or to $2.
look_at_name() {
  name=''
  [ -r "$1" ] && read -r name <"$1"
  name=${name:-$2}
}

# Writes a line: letter $1, the time, and the values of the files after it.
take() {
  line="$1 $up"
  shift
  for file; do
    look_at "$file"
    line="$line $value"
  done
  say "$line"
}

# Sets `text` to what service $1 says, without what nobody reads.
dump() {
  case $1 in
  thermal)
    text=$(dumpsys thermalservice)
    text=${text%%Temperature static thresholds*}
    [ -z "$zones" ] || text=${text%%Cached temperatures*}
    ;;
  battery) text=$(dumpsys battery) ;;
  current) text=$(cmd battery get -f current_now) ;;
  current-old) text=$(cmd battery get current_now) ;;
  esac
}

say_dump() {
  look_at_clock
  dump "$1"
  say "d $up $1"
  say "$text"
  say .
}

zones='' powered='' charging='' volts='' amperes=''
say "b $boot"
for zone in sys/class/thermal/thermal_zone*; do
  look_at_name "$zone/type" "${zone##*/}"
  column slow zone "$zone/temp" "$name" && zones=yes
done
for device in sys/class/thermal/cooling_device*; do
  look_at_name "$device/type" "${device##*/}"
  column slow cooling "$device/cur_state" "$name"
done
policies=''
for policy in sys/devices/system/cpu/cpufreq/policy*; do
  column fast frequency "$policy/scaling_cur_freq" "${policy##*/}" && policies=yes
done
[ -n "$policies" ] || for core in sys/devices/system/cpu/cpu[0-9]*; do
  column fast frequency "$core/cpufreq/scaling_cur_freq" "${core##*/}"
done
for supply in sys/class/power_supply/*; do
  look_at_name "$supply/scope" System
  [ "$name" != Device ] || continue # a mouse's, not the device's own
  look_at_name "$supply/type" Unknown
  kind=$name name=${supply##*/}
  if [ "$kind" = Battery ] || [ "$name" = battery ]; then
    column fast current "$supply/current_now" "$name" && amperes=yes
    column fast voltage "$supply/voltage_now" "$name" && volts=yes
    column slow status "$supply/status" "$name" && charging=yes
    column slow battery-temperature "$supply/temp" "$name"
    column slow charge "$supply/charge_counter" "$name"
  else
    column slow plugged "$supply/online" "$name" && powered=yes
  fi
done
column slow memory proc/meminfo device
column slow poller /proc/self/stat poller

if command -v dumpsys; then
  dump thermal
  case $text in *'Thermal Status'* | *'Temperature{'*) dumps=thermal ;; esac
  dump battery
  [ -n "$powered" ] && [ -n "$charging" ] && [ -n "$volts" ] ||
    case $text in *'Battery Service state'*) dumps="$dumps battery" ;; esac
fi
# Releases differ in whether they know the property, the option, or print nothing.
[ -n "$amperes" ] || ! command -v cmd || for way in current current-old; do
  dump "$way"
  case $text in
  '' | - | *[!0-9-]* | -2147483648) ;;
  *)
    dumps="$dumps $way"
    break
    ;;
  esac
done
for name in $dumps; do say_dump "$name"; done
# Without frequencies and power, a look a second is enough.
[ -n "$fast" ] || case $interval in 0*) interval=1 ;; esac
say "r $interval $dump_interval"

deadline=$second next_second=0 next_dump=$((second + dump_interval))
while :; do
  look_at_clock
  [ -z "$fast" ] || take f $fast
  if [ "$second" -ge "$next_second" ]; then
    next_second=$((second + 1))
    take s $slow
    [ -e "$folder/lease" ] || exit 0
    read -r new_deadline <"$folder/lease" && deadline=$new_deadline # empty while it is written
    [ "$second" -le "$deadline" ] || end lease
    [ "$bytes" -le "$limit" ] || end limit
  fi
  if [ -n "$dumps" ] && [ "$second" -ge "$next_dump" ]; then
    next_dump=$((second + dump_interval))
    for name in $dumps; do say_dump "$name"; done
  fi
  sleep "$interval" || exit 1
done
