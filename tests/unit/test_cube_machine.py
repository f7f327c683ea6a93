"""A short run of the machine of `cube_machine`; `python -m tests.unit.cube_machine` takes longer ones."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.unit.cube_machine import CubeMachine

TestCube = CubeMachine.TestCase
TestCube.settings = settings(
    max_examples=12, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
