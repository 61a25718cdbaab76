"""How many records may go when: a token for each, one every 1/rate seconds. Pure: the clock is passed in."""

from __future__ import annotations

from math import floor

_DUST = 1e-6
"""The part of a token that is taken for a rounding error of the clock."""


class Tokens:
    """At most one second's worth is saved; the first is there at once."""

    def __init__(self, rate: int, now: float) -> None:
        """``rate`` is tokens per second; all times are seconds of one clock."""
        self._period = 1 / rate
        self._rate = rate
        self._next = now
        """When the next token that was not taken is there. From it alone all follows, so nothing drifts."""

    def available(self, now: float) -> int:
        """How many may be taken now."""
        return min(self._rate, max(0, floor((now - self._next) / self._period + _DUST) + 1))

    def take(self, count: int, now: float) -> None:
        """Takes that many of those that are available."""
        self._next = max(self._next, now - (self._rate - 1) * self._period) + count * self._period

    def wait(self, now: float) -> float:
        """Seconds until there is one."""
        return max(0.0, self._next - now)
