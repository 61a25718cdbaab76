"""Waiting for what no event tells of: a daemon in another process has come to a state."""

from __future__ import annotations

import time
from collections.abc import Callable

DEADLINE_S = 30.0
"""For whatever is certain to happen; generous, as the machine may be busy."""


def until(condition: Callable[[], object], timeout: float = DEADLINE_S) -> None:
    """Asks until the answer is true; raises AssertionError when it never is."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{condition} did not come true in {timeout} s"
        time.sleep(0.01)
