"""The past of every topic, channel and node in little memory: fine for the last minutes, coarse for hours. Pure.

Each series is a ring of 32-bit floats whose place is the time: a value that was not measured is NaN. A coarse
point is the mean of the rates it stands for, and the highest of everything else, so that no spike goes unseen.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nsqadmin.history.series import Key, Metric, Series

METRICS = tuple(Metric)
_PLACE = {metric: place for place, metric in enumerate(METRICS)}
_MEANS = frozenset((Metric.PUBLISHED, Metric.FINISHED, Metric.REQUEUED, Metric.TIMED_OUT))
_NAN = math.nan
_MOVES = (Metric.PUBLISHED, Metric.FINISHED, Metric.REQUEUED, Metric.TIMED_OUT)
_IDLE_S = 600.0
"""Who has been idle for less gives way to nobody."""

Values = Mapping[Metric, float | None]


@dataclass(frozen=True, slots=True)
class Grain:
    """How dense one ring is."""

    step: float
    """Seconds from point to point."""
    length: int
    """Points."""


@dataclass(slots=True)
class Kept:
    """A ring as it is kept over restarts: all metrics of each point side by side, the oldest point first."""

    step: float
    last: int
    """The slot of the newest point; slots are counted from the epoch of the clock."""
    values: array[float]


class _Ring:
    """One key's values at one grain, all metrics side by side."""

    __slots__ = ("grain", "last", "seconds", "values")

    def __init__(self, grain: Grain) -> None:
        self.grain = grain
        self.values = array("f", (_NAN,)) * (grain.length * len(METRICS))
        self.last = -1
        """The newest slot; slots are counted from the epoch of the clock."""
        self.seconds = 0.0
        """How long the samples in the newest slot have lasted."""

    def add(self, slot: int, values: Values, reach: int, seconds: float) -> None:
        length, width = self.grain.length, len(METRICS)
        if slot < self.last:
            self._rewind(slot)
        if slot > self.last:
            # Samples that come less often than points stand for the points between them, too.
            if 0 <= self.last < slot - 1 <= self.last + reach:
                for between in range(self.last + 1, slot):
                    self.add(between, values, 0, seconds)
            empty = array("f", (_NAN,)) * width
            for skipped in range(max(self.last + 1, slot - length + 1), slot + 1):
                start = skipped % length * width
                self.values[start : start + width] = empty
            self.last, self.seconds = slot, 0.0
        start = slot % length * width
        self.seconds += seconds
        for metric, value in values.items():
            if value is None:
                continue
            place = start + _PLACE[metric]
            old = self.values[place]
            if math.isnan(old):
                self.values[place] = value
            elif metric in _MEANS:
                self.values[place] = old + (value - old) * seconds / self.seconds
            else:
                self.values[place] = max(old, value)

    def _rewind(self, slot: int) -> None:
        """The clock was set back to ``slot``: what it will come by again is forgotten."""
        length, width = self.grain.length, len(METRICS)
        empty = array("f", (_NAN,)) * width
        for wrong in range(max(slot, self.last - length + 1), self.last + 1):
            start = wrong % length * width
            self.values[start : start + width] = empty
        self.last = slot - 1

    def kept(self) -> Kept:
        """A copy, in the order of time."""
        cut = (self.last + 1) % self.grain.length * len(METRICS)
        return Kept(self.grain.step, self.last, self.values[cut:] + self.values[:cut])

    def restore(self, kept: Kept, newest: int) -> None:
        """Takes what was kept, as far as it fits; nothing is newer than the slot ``newest``."""
        length, width = self.grain.length, len(METRICS)
        points = len(kept.values) // width
        last = min(kept.last, newest)
        first = max(kept.last - points + 1, last - length + 1, 0)
        for slot in range(first, last + 1):
            start, source = slot % length * width, (slot - kept.last + points - 1) * width
            self.values[start : start + width] = kept.values[source : source + width]
        if first <= last:
            self.last, self.seconds = last, self.grain.step / 2

    def read(self, metric: Metric, first: int, end: int) -> list[float | None]:
        """The slots ``first`` to ``end``, both included."""
        length, width, place = self.grain.length, len(METRICS), _PLACE[metric]
        oldest = self.last - length
        found: list[float | None] = []
        for slot in range(first, end + 1):
            value = self.values[slot % length * width + place] if oldest < slot <= self.last else _NAN
            found.append(value if math.isfinite(value) else None)
        return found


class _Rings:
    """All rings of one key, fine and coarse."""

    __slots__ = ("all", "busy_at", "depth")

    def __init__(self, grains: Iterable[Grain]) -> None:
        self.all = tuple(_Ring(grain) for grain in grains)
        self.busy_at = -math.inf
        """When anything last happened to it."""
        self.depth: float | None = None


class Past:
    """The rings of all keys. ``fine`` and ``coarse`` say how far back they go; ``memory`` bytes bound the keys."""

    def __init__(self, fine: Grain, coarse: Grain, *, memory: int) -> None:
        self.grains = (fine, coarse)
        self.most = max(1, memory // sum(grain.length * len(METRICS) * 4 for grain in self.grains))
        """Keys, no more."""
        self._rings: dict[Key, _Rings] = {}

    def add(
        self, at: float, figures: Mapping[Key, Values], interval: float, seconds: float | None = None
    ) -> int:
        """Keeps the figures of one sample; returns how many keys were left out for want of room.

        ``interval`` is how many seconds lie between samples now: that much of the past they stand for.
        ``seconds`` is how long this one lasted, above 0, if not that: rates over a moment, as after a change,
        weigh no more than a moment. Where there is no room for a key to which something happens, the one that has been idle longest gives way.
        """
        slots = [int(at / grain.step) for grain in self.grains]
        reaches = [int(interval / grain.step) + 1 for grain in self.grains]
        left_out = 0
        idle: list[Key] | None = None
        for key, values in figures.items():
            busy = any(values.get(metric) for metric in _MOVES)
            rings = self._rings.get(key)
            if rings is None:
                if len(self._rings) >= self.most:
                    if idle is None:
                        idle = self._idle(at)
                    if not busy or not idle:
                        left_out += 1
                        continue
                    del self._rings[idle.pop()]
                rings = self._rings[key] = _Rings(self.grains)
                rings.busy_at = at
            depth = values.get(Metric.DEPTH)
            if busy or depth != rings.depth:
                rings.busy_at, rings.depth = at, depth
            for ring, slot, reach in zip(rings.all, slots, reaches, strict=True):
                ring.add(slot, values, reach, seconds or interval)
        return left_out

    def _idle(self, at: float) -> list[Key]:
        """Who may give way, the most idle last."""
        idle = [(rings.busy_at, key) for key, rings in self._rings.items() if at - rings.busy_at > _IDLE_S]
        return [key for _, key in sorted(idle, reverse=True)]

    def forget(self, at: float) -> None:
        """Drops the keys of which nothing is left at ``at``."""
        coarse = self.grains[-1]
        limit = int(at / coarse.step) - coarse.length
        for key in [key for key, rings in self._rings.items() if rings.all[-1].last < limit]:
            del self._rings[key]

    def keys(self) -> list[Key]:
        """Everything that has a past."""
        return list(self._rings)

    def kept(self, key: Key) -> list[Kept]:
        """A copy of one key's rings for :meth:`restore`; empty when it has none."""
        rings = self._rings.get(key)
        return [ring.kept() for ring in rings.all] if rings else []

    def restore(self, key: Key, kept: Iterable[Kept], now: float) -> None:
        """Takes what was kept of a key, as far as it has the steps and the length of ours, and room."""
        if len(self._rings) >= self.most and key not in self._rings:
            return
        rings = _Rings(self.grains)
        for old in kept:
            for ring in rings.all:
                if ring.grain.step == old.step:
                    ring.restore(old, int(now / old.step))
        rings.busy_at = rings.all[-1].last * self.grains[-1].step
        if rings.busy_at >= 0:
            self._rings[key] = rings

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
        values = rings.all[number].read(metric, first, end) if rings else nothing
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
