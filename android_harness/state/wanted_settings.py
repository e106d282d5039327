"""What the settings of a device should be during a run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from android_harness.state.device_settings import SettingName
from exporters.contract import Part

Switch = Literal["on", "off"]
SettingsChoice = Literal["measuring", "as-is"]


class WantedSettings(Part):
    """Values for a run; None leaves a setting as it is found.

    Attributes:
        stay_awake: while plugged in; the sum of 1 (charger), 2 (USB), 4 (wireless), 8 (dock).
        brightness_mode: 0 manual, 1 automatic.
        brightness: of Android's 0 to 255; a device may hold its own minimum for less.
        do_not_disturb: what may still interrupt.
    """

    battery_saver: Switch | None = None
    fixed_performance: Switch | None = None
    do_not_disturb: Literal["off", "priority", "alarms", "none"] | None = None
    airplane: Switch | None = None
    screen: Switch | None = None
    screen_off_timeout_ms: int | None = Field(None, ge=1000, le=2**31 - 1)
    stay_awake: int | None = Field(None, ge=0, le=15)
    brightness_mode: Literal[0, 1] | None = None
    brightness: int | None = Field(None, ge=0, le=255)

    def value(self, name: SettingName) -> str | None:
        """The value as the device has it."""
        value = getattr(self, name)
        return None if value is None else str(value)


AS_IS = WantedSettings()

# The screen is on, at its dimmest: with the screen off, Android may suspend the processor under a
# program that adb started, and vendors move it to the small cores. Alarms may ring, since a phone
# whose host crashed may still have to wake somebody.
MEASURING = WantedSettings(
    battery_saver="off",
    fixed_performance="on",
    do_not_disturb="alarms",
    airplane="on",
    screen="on",
    screen_off_timeout_ms=24 * 3600 * 1000,
    stay_awake=1 + 2 + 4,
    brightness_mode=0,
    brightness=1,
)


def wanted_settings(choice: SettingsChoice) -> WantedSettings:
    """The settings that a command line names."""
    return MEASURING if choice == "measuring" else AS_IS
