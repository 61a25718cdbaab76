"""How long requests take: the lines that ``--status-every`` asks for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

AGGREGATE = "aggregate"
ENOUGH = 100
"""Requests of which a percentile says something."""


class Timings:
    """Tells of every ``every`` requests how long they took, all together and by name where there are several names.

    ::

        [aggregate]: finished 250 - 99th: 8.59ms - 95th: 8.59ms - avg: 6.96ms

    As with the original, a line is written when the request after those it tells of has ended.
    """

    def __init__(self, every: int, names: Sequence[str], tell: Callable[[str], object]) -> None:
        """``tell`` gets each line; 0 or less for ``every`` has no lines. ``names`` are those that :meth:`add` gets."""
        self._every = every
        self._tell = tell
        self._all: list[float] = []
        distinct = dict.fromkeys(names)
        self._by_name: dict[str, list[float]] = {name: [] for name in distinct} if len(distinct) > 1 else {}

    def warn(self) -> None:
        """Tells that ``every`` is low, if it is."""
        if 0 < self._every < ENOUGH:
            self._tell(
                f"Warning: use more than {ENOUGH} status values for accurate percentiles"
                f" (configured with {self._every})"
            )

    def add(self, name: str, seconds: float) -> None:
        """A request of that name has ended."""
        if self._every <= 0:
            return
        self._put(AGGREGATE, self._all, seconds)
        if self._by_name:
            self._put(name, self._by_name[name], seconds)

    def _put(self, name: str, times: list[float], seconds: float) -> None:
        if len(times) == self._every:
            self._tell(line(name, times))
            times.clear()
        times.append(seconds)


def line(name: str, times: Sequence[float]) -> str:
    """The line about these times, in seconds; there is at least one."""
    ordered = sorted(times)
    high, middle = percentile(ordered, 0.99), percentile(ordered, 0.95)
    average = sum(ordered) / len(ordered)
    return (
        f"[{name}]: finished {len(ordered)} - 99th: {high * 1000:.2f}ms"
        f" - 95th: {middle * 1000:.2f}ms - avg: {average * 1000:.2f}ms"
    )


def percentile(ordered: Sequence[float], share: float) -> float:
    """The least of these values that at least that share of them does not exceed."""
    # rounded first: 0.95 * 20 is a hair above 19
    return ordered[max(math.ceil(round(share * len(ordered), 9)) - 1, 0)]
