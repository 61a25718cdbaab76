"""Faults of all kinds, mixed at random, over a cluster in memory whose time moves by itself.

``NSQ_FUZZ_SECONDS`` goes on with other seeds for so long; a failure names its seed.
"""

from __future__ import annotations

import itertools
import logging
import os
import random
import time
from collections.abc import Iterator

import pytest

from tests.weather.client.storm import Storm

SECONDS = float(os.environ.get("NSQ_FUZZ_SECONDS") or 0)
SEEDS = 40


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Whatever goes wrong is logged, thousands of times here."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def seeds() -> Iterator[int]:
    """The suite's, and others for a while."""
    yield from range(SEEDS)
    until = time.monotonic() + SECONDS
    for seed in itertools.count(random.SystemRandom().randrange(1 << 40)):
        if time.monotonic() > until:
            return
        yield seed


@pytest.mark.timeout(SECONDS + 120)
async def test_nothing_is_lost_told_twice_or_left() -> None:
    for seed in seeds():
        storm = Storm(seed)
        try:
            await storm.run()
        except AssertionError as e:
            e.add_note(f"seed {seed}; {'; '.join(storm.log)}")
            raise
