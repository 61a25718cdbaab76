"""A limit on messages handed out per second. Pure: the clock is passed in."""

from __future__ import annotations

BURST = 0.05
"""Seconds' worth of messages that may be handed out at once after a quiet time; at least one message."""
AHEAD = 1.0
"""Seconds' worth of messages that may wait here for their turn. More would be kept from other consumers, and
their time would run out."""
TICK = 0.0005
"""Seconds that are not worth waiting for: timers may be early by the resolution of their clock, and a wait
for what is left then would keep the loop busy. What is handed out early is made up for by the next."""


class Rate:
    """A token bucket: a message takes a token, tokens come evenly."""

    def __init__(self, per_second: float, now: float) -> None:
        self.per_second = per_second
        self._most = max(1.0, per_second * BURST)
        self._tokens = self._most
        self._at = now

    def wait(self, now: float) -> float:
        """Seconds until one may be handed out."""
        self._fill(now)
        wait = (1 - self._tokens) / self.per_second
        return wait if wait > TICK else 0.0

    def spend(self, now: float) -> None:
        """One is handed out."""
        self._fill(now)
        self._tokens -= 1

    def ahead(self, now: float) -> int:
        """How many may wait for their turn."""
        self._fill(now)
        return max(0, int(self._tokens + self.per_second * AHEAD))

    def _fill(self, now: float) -> None:
        self._tokens = min(self._most, self._tokens + (now - self._at) * self.per_second)
        self._at = now
