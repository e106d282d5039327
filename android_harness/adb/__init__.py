"""The host's side of the Android Debug Bridge, on top of adb-shell and mending its faults."""
