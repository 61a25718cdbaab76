"""Messages that wait for their time: past frames by due time."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from itertools import count


class Deferred:
    """A heap of (due, order, past frame). Times are seconds of the loop's monotonic clock."""

    __slots__ = ("_heap", "_order")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, bytes]] = []
        self._order = count()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, due: float, past: bytes) -> bool:
        """Keeps a past frame until ``due``; True when it is the first to come now."""
        entry = (due, next(self._order), past)
        heappush(self._heap, entry)
        return self._heap[0] is entry

    def next_due(self) -> float | None:
        """When the first one is due; None when there is none."""
        return self._heap[0][0] if self._heap else None

    def due(self, now: float, limit: int) -> list[bytes]:
        """Takes out up to ``limit`` frames that are due, in the order of their times."""
        heap = self._heap
        found: list[bytes] = []
        while heap and heap[0][0] <= now and len(found) < limit:
            found.append(heappop(heap)[2])
        return found

    def drop(self) -> deque[tuple[float, int, bytes]]:
        """Takes out everything, in no order, for the caller to let go of in slices."""
        dropped, self._heap = deque(self._heap), []
        return dropped

    def take_all(self) -> list[tuple[float, bytes]]:
        """Takes out everything: (due, past frame) in the order of the times."""
        heap, self._heap = self._heap, []
        return [(due, past) for due, _, past in sorted(heap)]
