"""Whether the loop has little time left: then work gathers for a moment, so that more of it goes at once."""

from __future__ import annotations

from time import thread_time

_WINDOW_S = 0.02
_HIGH = 0.6


class Pressure:
    """How busy the loop's thread is, for who can do less work by doing it later.

    Nothing ticks. Whoever wants to know calls :meth:`look` if the time is not before :attr:`until`, then reads
    :attr:`high`: the clock of the thread is a system call, and is asked fifty times a second at most.
    """

    __slots__ = ("_busy", "_from", "high", "until")

    def __init__(self) -> None:
        self.high = False
        """The thread was at work for most of the last 20 ms, or of the time since the look before the last."""
        self.until = 0.0
        """Seconds of the loop's clock up to which that is fresh."""
        self._from = self._busy = 0.0

    def look(self, now: float) -> None:
        """Finds out anew; ``now`` is the time of the loop, whose thread calls."""
        busy = thread_time()
        self.high = busy - self._busy > _HIGH * (now - self._from)
        self._from, self._busy, self.until = now, busy, now + _WINDOW_S
