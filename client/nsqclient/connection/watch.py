"""Watches over a connection at intervals: silence, a peer that takes no bytes, a loop that stood still. Pure."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

GRACE = 0.5
"""Seconds granted to a connection found silent: the loop itself may have stood still, with bytes waiting."""


class Look(NamedTuple):
    """What was seen."""

    again: float
    """Seconds until the next look is due."""
    stood_still: float = 0.0
    """Seconds that the event loop did nothing, if that was too long for heartbeats."""
    fault: str = ""
    """Why the connection is to be given up."""


class Watch:
    """Looks are due every :attr:`period` seconds; the clock is passed in.

    Each is a quarter of the shortest of the times that are watched, so what is found is found at most so
    much later. A loop that stood still for a heartbeat is always noticed, one that stood still for less
    than three quarters of it never.
    """

    def __init__(self, heartbeat: float, silence: float, stall: float, now: float) -> None:
        """Seconds: between heartbeats, until silence is an end, until bytes must be taken; ``inf`` is never."""
        self.period: float = min(heartbeat, silence, stall, 60.0) / 4
        self._heartbeat = heartbeat
        self._silence = silence
        self._stall = stall
        self._due = now + self.period
        self._suspected = False
        self._unsent = 0
        self._unsent_since = inf

    def look(self, now: float, last_read: float, unsent: int, added: int) -> Look:
        """``unsent`` bytes wait for the peer to take them, ``added`` of these came since the last look."""
        late = max(0.0, now - self._due)
        still = late if late >= self._heartbeat - self.period else 0.0
        fault, again = self._judge_silence(now - last_read), self.period
        if not unsent:
            self._unsent_since = inf
        elif self._unsent_since == inf or unsent < self._unsent + added:
            self._unsent_since = now
        else:
            self._unsent_since += late  # the peer may have taken bytes that we had no time to offer
        self._unsent = unsent
        if not fault and now - self._unsent_since >= self._stall:
            fault = f"nsqd has taken no byte for {now - self._unsent_since:.1f} s"
        if self._suspected:
            again = min(GRACE, self.period)
        self._due = now + again
        return Look(again, still, fault)

    def _judge_silence(self, silent: float) -> str:
        if silent < self._silence:
            self._suspected = False
            return ""
        if not self._suspected:
            self._suspected = True
            return ""
        return f"nothing came for {silent:.1f} s"
