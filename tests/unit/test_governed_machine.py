"""A short run of the machine of `governed_machine`; `python -m tests.unit.governed_machine` takes longer ones."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.unit.governed_machine import GovernedMachine

TestCubes = GovernedMachine.TestCase
TestCubes.settings = settings(
    max_examples=4, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
