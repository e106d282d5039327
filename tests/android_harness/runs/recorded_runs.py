"""What a runner would have reported."""

from __future__ import annotations

from android_harness.records import EndRecord, HelloRecord, MemoryRecord, Record


def whole_run() -> list[Record]:
    """Records of a run that went well."""
    return [
        HelloRecord(
            event="hello",
            schema_version=1,
            runner_version="stand-in",
            engine="none",
            engine_version="none",
            compiler="none",
            architecture="none",
            features=(),
            devices=(),
            pid=1,
        ),
        MemoryRecord(event="memory", task=0, vm_hwm_bytes=3, rss_anon_bytes=2, rss_file_bytes=1),
        EndRecord(event="end", status="ok", tasks_done=1),
    ]
