"""How long to wait after failures: one level for a whole consumer, or for one nsqd. Pure: no clock, no sockets.

The rules, in NSQ's own way:

* A failure raises the level by one, a success lowers it by one, a requeue without back-off leaves it.
* While the pause of a level runs, whatever happens is ignored: it comes from messages sent before.
* Whenever a signal leaves the level above zero, a pause begins: nothing is received. When it ends, one
  message is tried, and its fate is the next signal.
* When the level returns to zero, everything flows again.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from nsqclient.consumer.options import Backoff
from nsqclient.durations import to_seconds


class Signal(Enum):
    """What a message's fate tells about the handlers' health."""

    RESUME = "resume"
    """It was finished."""
    BACKOFF = "backoff"
    """It failed."""
    CONTINUE = "continue"
    """It was requeued for reasons of its own."""


class Step(NamedTuple):
    """What must happen now: a pause of that many seconds, or, with none, full flow again."""

    pause: float | None


class BackoffLevel:
    """The state: a level, and whether its pause is running."""

    def __init__(self, rules: Backoff) -> None:
        self.level: int = 0
        self.pausing: bool = False
        self._multiplier = to_seconds(rules.multiplier)
        self._longest = to_seconds(rules.max_duration)
        self._jitter = rules.strategy == "full_jitter"
        self._calculate = None if isinstance(rules.strategy, str) else rules.strategy.calculate

    @property
    def testing(self) -> bool:
        """Whether a single message at a time is to be tried."""
        return self.level > 0 and not self.pausing

    def signal(self, signal: Signal, chance: float) -> Step | None:
        """Takes a message's fate; None when nothing changes. ``chance`` is a random number in [0, 1)."""
        if self.pausing or not self._longest:
            return None
        if signal is Signal.BACKOFF:
            if self.level == 0 or self._pause(self.level + 1) <= self._longest:
                self.level += 1
        elif self.level == 0:
            return None
        elif signal is Signal.RESUME:
            self.level -= 1
            if self.level == 0:
                return Step(None)
        self.pausing = True
        pause = min(self._pause(self.level), self._longest)
        return Step(pause * chance if self._jitter else pause)

    def pause_ended(self) -> None:
        """The pause that :meth:`signal` asked for is over: one message may be tried."""
        self.pausing = False

    def _pause(self, level: int) -> float:
        if self._calculate is not None:
            return max(0.0, to_seconds(self._calculate(level)))
        return self._multiplier * 2.0 ** min(level, 64)
