"""Many time limits with one timer. Pure: the clock is passed in.

A timer per publish would cost more than the rest of its bookkeeping. Items are put in buckets of
``GRAIN`` seconds instead; an item is due when its bucket is, so up to ``GRAIN`` late and never early.
"""

from __future__ import annotations

from math import ceil
from typing import Generic, TypeVar

GRAIN = 1 / 64
"""Seconds."""

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Items (hashable), each with a time; any of them can leave at any moment at no cost."""

    def __init__(self) -> None:
        self._buckets: dict[int, set[T]] = {}

    def add(self, item: T, when: float) -> int:
        """Keeps ``item`` until ``when``; returns what :meth:`discard` needs to find it."""
        key = ceil(when / GRAIN)
        bucket = self._buckets.get(key)
        if bucket is None:
            self._buckets[key] = {item}
        else:
            bucket.add(item)
        return key

    def discard(self, item: T, key: int) -> None:
        """Forgets ``item``; one that was due already is not missed."""
        bucket = self._buckets.get(key)
        if bucket is not None:
            bucket.discard(item)
            if not bucket:
                del self._buckets[key]

    def due(self, now: float) -> list[T]:
        """Takes out what is due, earliest first."""
        keys = sorted(key for key in self._buckets if key * GRAIN <= now)
        return [item for key in keys for item in self._buckets.pop(key)]

    def next_time(self) -> float | None:
        """When something will be due; None when nothing is kept."""
        return min(self._buckets) * GRAIN if self._buckets else None
