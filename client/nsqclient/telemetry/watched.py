"""Producers and consumers whose statistics are read whenever metrics are collected.

Reading costs them nothing in between. What a closed one has counted stays in the sums, so that counters never
go down, and it is not kept alive for that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Generic, Protocol, TypeVar

Sums = dict[str, float]


class Closable(Protocol):
    """What producers and consumers have in common."""

    @property
    def closed(self) -> bool:
        """Whether it has ended."""


C = TypeVar("C", bound=Closable)


class Watched(Generic[C]):
    """Those that are watched, and the sums of what they counted, by labels.

    Metrics are mostly collected in a thread of their own: so there is a lock, held for moments.
    """

    def __init__(
        self, counters: Callable[[C], Mapping[str, float]], gauges: Callable[[C], Mapping[str, float]]
    ) -> None:
        """Both read one of them; counters only grow, gauges are what is so now."""
        self._counters = counters
        self._gauges = gauges
        self._live: list[tuple[tuple[str, ...], C]] = []
        self._ended: dict[tuple[str, ...], Sums] = {}
        self._lock = Lock()

    def add(self, labels: tuple[str, ...], one: C) -> None:
        """From now on it counts."""
        with self._lock:
            self._live.append((labels, one))

    def counters(self) -> dict[tuple[str, ...], Sums]:
        """All that was ever counted."""
        with self._lock:
            live = []
            for labels, one in self._live:
                if one.closed:
                    _add(self._ended.setdefault(labels, defaultdict(float)), _steady(self._counters, one))
                else:
                    live.append((labels, one))
            self._live = live
            sums: dict[tuple[str, ...], Sums] = {}
            for labels, ended in self._ended.items():
                _add(sums.setdefault(labels, defaultdict(float)), ended)
            for labels, one in live:
                _add(sums.setdefault(labels, defaultdict(float)), _steady(self._counters, one))
            return sums

    def gauges(self) -> dict[tuple[str, ...], Sums]:
        """What is so now, of those that are not closed."""
        with self._lock:
            sums: dict[tuple[str, ...], Sums] = {}
            for labels, one in self._live:
                if not one.closed:
                    _add(sums.setdefault(labels, defaultdict(float)), _steady(self._gauges, one))
            return sums


def _add(sums: Sums, more: Mapping[str, float]) -> None:
    for name, value in more.items():
        sums[name] += value


def _steady(read: Callable[[C], Mapping[str, float]], one: C) -> Mapping[str, float]:
    """Reads from another thread than the one that changes what is read."""
    for _ in range(10):
        try:
            return read(one)
        except RuntimeError:
            continue  # a dict changed its size while it was looked through
    return read(one)
