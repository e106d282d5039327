"""Writes the JSON Schema of every contract beside this file; a test keeps them current."""

from __future__ import annotations

import json
from pathlib import Path

from android_harness.job import Job
from android_harness.records import RECORD_ADAPTER
from android_harness.state.held_settings import HeldSettings
from android_harness.telemetry.records import TELEMETRY_ADAPTER
from device_bench.numerics.contract import NumericEvidence
from device_bench.plans.bench_plan import BenchPlan
from device_bench.profiles.profile import Profile
from device_bench.samples.provenance import Sweep
from exporters.manifest import Manifest
from toolkit.allocation.contract import Allocation
from toolkit.plan.contract import Plan
from toolkit.plan.convergence import ConvergenceTable
from toolkit.training.contract import RoundRecord, RunDescription

SCHEMAS = {
    "manifest": Manifest.model_json_schema,
    "job": Job.model_json_schema,
    "record": RECORD_ADAPTER.json_schema,
    "settings": HeldSettings.model_json_schema,
    "telemetry": TELEMETRY_ADAPTER.json_schema,
    "bench-plan": BenchPlan.model_json_schema,
    "sweep": Sweep.model_json_schema,
    "numerics": NumericEvidence.model_json_schema,
    "profile": Profile.model_json_schema,
    "allocation": Allocation.model_json_schema,
    "convergence": ConvergenceTable.model_json_schema,
    "plan": Plan.model_json_schema,
    "run": RunDescription.model_json_schema,
    "round": RoundRecord.model_json_schema,
}


def schema_text(name: str) -> str:
    return json.dumps(SCHEMAS[name](), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    for name in SCHEMAS:
        (Path(__file__).parent / f"{name}.json").write_text(schema_text(name), encoding="utf-8")
