"""What every unit test runs under: nothing that it started outlives it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.opened import nothing_left_running


@pytest.fixture(autouse=True)
def _ends_what_it_started() -> Iterator[None]:
    """Thousands of idle threads of earlier tests make each collection of garbage take seconds."""
    with nothing_left_running():
        yield
