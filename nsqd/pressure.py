"""Whether the loop has little time left: then work gathers for a moment, so that more of it goes at once."""

from __future__ import annotations

from time import perf_counter, thread_time

_WINDOW_S = 0.01
_HIGH = 0.6


class Pressure:
    """How busy the loop's thread is, for who can do less work by doing it later.

    Nothing ticks: it is found out when asked, and a look costs a tenth of a microsecond.
    """

    __slots__ = ("_busy", "_from", "_high")

    def __init__(self) -> None:
        self._from = perf_counter()
        self._busy = thread_time()
        self._high = False

    def high(self) -> bool:
        """Whether the thread that asks was at work for most of the last 10 ms, or of the time since the last look."""
        now = perf_counter()
        passed = now - self._from
        if passed >= _WINDOW_S:
            busy = thread_time()
            self._high = busy - self._busy > _HIGH * passed
            self._from, self._busy = now, busy
        return self._high
