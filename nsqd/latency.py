"""How long messages took from publish to FIN: quantiles of the recent past, in bounded memory.

A histogram whose buckets grow with their values: 64 of them per power of two, so a bucket is at most 1/64
as wide as the values in it, and its middle is off by less than 0.8 % whatever the latency. Taking in a run
of FINs is a dictionary entry per distinct publish time (messages published together share theirs), and
histograms merge by adding: those of all channels make that of their topic, exactly.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import ceil
from operator import itemgetter

_BITS = 7
"""A bucket's key is a value's highest seven bits, and in front of them how many bits those leave out."""
_MANTISSA = (1 << _BITS) - 1
_published = itemgetter(slice(8, 16))


class Histogram:
    """Counts latencies, nanoseconds. Some 2,300 buckets would hold every one from a nanosecond to a century."""

    __slots__ = ("_buckets", "count", "longest")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self.count = 0
        self.longest = 0

    def add(self, latency: int, count: int = 1) -> None:
        """Takes in a latency that was seen ``count`` times; a negative one, of a clock that was set back, is 0."""
        if latency < 0:
            latency = 0
        if latency > self.longest:
            self.longest = latency
        shift = latency.bit_length() - _BITS
        key = latency if shift < 0 else shift << _BITS | latency >> shift
        self._buckets[key] = self._buckets.get(key, 0) + count
        self.count += count

    def add_all(self, other: Histogram) -> None:
        """Takes in all that another one has."""
        for key, count in other._buckets.items():
            self._buckets[key] = self._buckets.get(key, 0) + count
        self.count += other.count
        self.longest = max(self.longest, other.longest)

    def quantiles(self, wanted: Sequence[float]) -> list[int]:
        """For each of ``wanted``, in (0, 1], the latency that so large a part does not exceed; 0 without any."""
        if not self.count:
            return [0] * len(wanted)
        keys = sorted(self._buckets)
        ranks = list(accumulate(self._buckets[key] for key in keys))
        return [self._middle(keys[bisect_left(ranks, ceil(self.count * each))]) for each in wanted]

    def _middle(self, key: int) -> int:
        shift = key >> _BITS
        return min(((key & _MANTISSA) << shift) + ((1 << shift) >> 1), self.longest)


class Latency:
    """The latencies of one channel over the last ``window`` seconds.

    There are two histograms, each for half a window in turn, as the original has: what is told looks back
    between half a window and a whole one.
    """

    __slots__ = ("_before", "_half", "_now", "_until", "quantiles")

    def __init__(self, window: float, quantiles: Sequence[float]) -> None:
        self.quantiles = quantiles
        """What is to be told, in this order."""
        self._half = window / 2
        self._until = time.monotonic() + self._half
        self._now = Histogram()
        self._before = Histogram()

    def finished(self, frames: Iterable[bytes]) -> None:
        """These messages are done now."""
        self._turn()
        now, add = time.time_ns(), self._now.add
        for published, count in Counter(map(_published, frames)).items():
            add(now - int.from_bytes(published, "big"), count)

    def recent(self) -> Histogram:
        """All of the window; the caller may keep it."""
        self._turn()
        result = Histogram()
        result.add_all(self._before)
        result.add_all(self._now)
        return result

    def _turn(self) -> None:
        now = time.monotonic()
        if now < self._until:
            return
        late = now - self._until
        self._before = self._now if late < self._half else Histogram()
        self._now = Histogram()
        self._until = now + self._half - late % self._half


def merge(latencies: Iterable[Latency]) -> Histogram:
    """Those of several channels as if they were one."""
    result = Histogram()
    for latency in latencies:
        result.add_all(latency.recent())
    return result
