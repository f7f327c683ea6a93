"""What every test runs under: no Ray in unit tests, and reproducible Hypothesis runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

UNIT = Path(__file__).parent / "unit"

# A shared two-core machine makes single examples slow now and then; tests never measure time.
_SLOW = [HealthCheck.too_slow]
settings.register_profile("default", deadline=None, suppress_health_check=_SLOW)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True, suppress_health_check=_SLOW)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(autouse=True)
def _unit_tests_never_start_ray(request: pytest.FixtureRequest) -> Iterator[None]:
    """A decision that needs a cluster to be tested is in the wrong place."""
    yield
    ray = sys.modules.get("ray")
    if UNIT in request.path.parents and ray is not None and ray.is_initialized():
        ray.shutdown()
        pytest.fail("a unit test started Ray: test the decision without it, or move the test to tests/integration")
