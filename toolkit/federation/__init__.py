"""Fleets: threads of this process, Flower's simulation engine, and Flower's SuperLink."""

from __future__ import annotations

import os

from android_harness.host_folders import cache_root

# Flower and Ray read these when they are imported: nothing here reports to anybody.
os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# Despite its name, this is what keeps Ray's servers on the loopback interface on Linux as well.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
os.environ.setdefault("FLWR_HOME", str(cache_root() / "flower"))
