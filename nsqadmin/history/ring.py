"""The past of every topic, channel and node in little memory: fine for the last minutes, coarse for hours. Pure.

Each series is a ring of 32-bit floats whose place is the time: a value that was not measured is NaN. A coarse
point is the mean of the rates it stands for, and the highest of everything else, so that no spike goes unseen.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass

from nsqadmin.history.series import Key, Metric, Series

METRICS = tuple(Metric)
_PLACE = {metric: place for place, metric in enumerate(METRICS)}
_MEANS = frozenset((Metric.PUBLISHED, Metric.FINISHED, Metric.REQUEUED, Metric.TIMED_OUT))
_NAN = math.nan

Values = Mapping[Metric, float | None]


@dataclass(frozen=True, slots=True)
class Grain:
    """How dense one ring is."""

    step: float
    """Seconds from point to point."""
    length: int
    """Points."""


class _Ring:
    """One key's values at one grain, all metrics side by side."""

    __slots__ = ("counts", "grain", "last", "values")

    def __init__(self, grain: Grain) -> None:
        self.grain = grain
        self.values = array("f", (_NAN,)) * (grain.length * len(METRICS))
        self.last = -1
        """The newest slot; slots are counted from the epoch of the clock."""
        self.counts = 0
        """Samples in the newest slot."""

    def add(self, slot: int, values: Values, reach: int) -> None:
        length, width = self.grain.length, len(METRICS)
        if slot > self.last:
            # Samples that come less often than points stand for the points between them, too.
            if 0 <= self.last < slot - 1 <= self.last + reach:
                for between in range(self.last + 1, slot):
                    self.add(between, values, 0)
            empty = array("f", (_NAN,)) * width
            for skipped in range(max(self.last + 1, slot - length + 1), slot + 1):
                start = skipped % length * width
                self.values[start : start + width] = empty
            self.last, self.counts = slot, 0
        start = slot % length * width
        self.counts += 1
        for metric, value in values.items():
            if value is None:
                continue
            place = start + _PLACE[metric]
            old = self.values[place]
            if math.isnan(old):
                self.values[place] = value
            elif metric in _MEANS:
                self.values[place] = old + (value - old) / self.counts
            else:
                self.values[place] = max(old, value)

    def read(self, metric: Metric, first: int, end: int) -> list[float | None]:
        """The slots ``first`` to ``end``, both included."""
        length, width, place = self.grain.length, len(METRICS), _PLACE[metric]
        oldest = self.last - length
        found: list[float | None] = []
        for slot in range(first, end + 1):
            value = self.values[slot % length * width + place] if oldest < slot <= self.last else _NAN
            found.append(None if math.isnan(value) else value)
        return found


class Past:
    """The rings of all keys. ``fine`` and ``coarse`` say how far back they go; ``most`` bounds the keys."""

    def __init__(self, fine: Grain, coarse: Grain, *, most: int) -> None:
        self.grains = (fine, coarse)
        self.most = most
        self._rings: dict[Key, tuple[_Ring, ...]] = {}

    def add(self, at: float, figures: Mapping[Key, Values], interval: float) -> int:
        """Keeps the figures of one sample; returns how many keys were left out for want of room.

        ``interval`` is how many seconds lie between samples now: that much of the past they stand for.
        """
        slots = [int(at / grain.step) for grain in self.grains]
        left_out = 0
        for key, values in figures.items():
            rings = self._rings.get(key)
            if rings is None:
                if len(self._rings) >= self.most:
                    left_out += 1
                    continue
                rings = self._rings[key] = tuple(_Ring(grain) for grain in self.grains)
            for ring, slot in zip(rings, slots, strict=True):
                if slot >= ring.last:
                    ring.add(slot, values, int(interval / ring.grain.step) + 1)
        return left_out

    def forget(self, before: float) -> None:
        """Drops the keys that had no sample since ``before``."""
        coarse = self.grains[-1]
        limit = int(before / coarse.step)
        for key in [key for key, rings in self._rings.items() if rings[-1].last < limit]:
            del self._rings[key]

    def series(self, key: Key, metric: Metric, now: float, seconds: float, points: int) -> Series:
        """The last ``seconds`` before ``now`` in at most ``points`` values, as dense as they are kept."""
        number, grain = next(
            ((i, g) for i, g in enumerate(self.grains) if g.step * g.length >= seconds),
            (len(self.grains) - 1, self.grains[-1]),
        )
        wanted = max(1, min(grain.length, math.ceil(seconds / grain.step)))
        each = max(1, math.ceil(wanted / max(1, points)))
        end = int(now / grain.step)
        first = end - wanted + 1
        rings = self._rings.get(key)
        nothing: list[float | None] = [None] * wanted
        values = rings[number].read(metric, first, end) if rings else nothing
        if each > 1:
            spare = len(values) % each
            groups = ([values[:spare]] if spare else []) + [
                values[i : i + each] for i in range(spare, len(values), each)
            ]
            values = [_together(group, metric) for group in groups]
        return Series(metric, end * grain.step, grain.step * each, values)


def _together(group: list[float | None], metric: Metric) -> float | None:
    known = [value for value in group if value is not None]
    if not known:
        return None
    return sum(known) / len(known) if metric in _MEANS else max(known)
