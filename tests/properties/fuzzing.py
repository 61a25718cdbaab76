"""How long a property is tried: a fixed number of the same examples, or random ones for a while.

``NSQ_FUZZ_SECONDS`` is the time for all of this folder together; each test gets its share of it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest
from hypothesis import Phase, settings

SECONDS = float(os.environ.get("NSQ_FUZZ_SECONDS") or 0)
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT") or 1)
PHASES = (Phase.explicit, Phase.generate, Phase.shrink)  # to explain a failure takes longer than to find it
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where folders are made, if there is such a place: many file systems write a file out when it replaces another."""
LONGEST_S = 900
_weights: list[int] = []


def examples(count: int, *, steps: int = 50) -> settings:
    """The settings to try so many examples with."""
    return settings(max_examples=count, stateful_step_count=steps, phases=PHASES, report_multiple_bugs=False)


def property_test(*, weight: int = 1) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """A test that is tried once, or again and again until its share of the time is over."""
    _weights.append(weight)

    def decorate(test: Callable[[], None]) -> Callable[[], None]:
        def tried() -> None:
            until = time.monotonic() + SECONDS * WORKERS * weight / sum(_weights)
            test()
            while time.monotonic() < until:
                test()

        tried.__doc__ = test.__doc__
        tried.__module__ = test.__module__
        return pytest.mark.timeout(0 if SECONDS else LONGEST_S)(tried)

    return decorate
