"""Fixtures that tests of more than one folder share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from android_harness.building.executorch_libraries import PythonLibraryError
from android_harness.building.runner_build import build_runner
from tests.twin_bundles import TwinBundles, make_twins

# The same examples in every run, so that a change is judged by what it changed, and not by how busy
# the machine is; `pytest --hypothesis-profile=default` draws new ones.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def private_state(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Keeps the user's journals out of the tests, and each test's out of the others."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("FWDLLM_STATE", str(folder))
    return folder


@pytest.fixture(scope="session")
def runner_binary() -> Path:
    """The native runner for this machine, built once per change of its sources."""
    return build_runner()


@pytest.fixture(scope="session")
def executorch_runner_binary() -> Path:
    """The runner for ExecuTorch's programs, likewise; skips where Python cannot be linked to."""
    try:
        return build_runner(engine="executorch")
    except PythonLibraryError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def twins(tmp_path_factory: pytest.TempPathFactory) -> TwinBundles:
    """One random model as a GGUF bundle and as one for ExecuTorch."""
    return make_twins(tmp_path_factory.mktemp("twins"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real models, datasets and phones that lie beside the checkout; skips when they do not."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no shared data at {SHARED_DATA}")
    return SHARED_DATA
