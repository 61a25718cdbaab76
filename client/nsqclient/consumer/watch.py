"""Limits on how long handlers run: one timer for all workers, however many there are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from math import inf
from typing import Literal, Protocol

Reason = Literal["timeout", "deadline", "lease"]
"""Which limit ended a handler: its own, its message's request, or the time nsqd leaves it."""


class Limited(Protocol):
    """Work that may be running under limits; times are the event loop's."""

    def until(self) -> float:
        """When the first limit is reached, as far as is known now; ``inf`` when nothing is running."""

    def exceed(self, now: float) -> None:
        """A limit is reached: ends the work, so that :meth:`until` is ``inf``, or finds that it moved."""


class Watch:
    """Calls :meth:`Limited.exceed` when it is time.

    The timer is set for the first limit there is. When it goes off most of the work it was set for is
    long done, so it is rarely set anew: about once per lease, not once per message.
    """

    def __init__(self, work: Callable[[], Iterable[Limited]]) -> None:
        self._work = work
        self._timer: asyncio.TimerHandle | None = None
        self.at: float = inf
        """When it looks next; ``inf`` if nothing is watched."""

    def look(self, when: float) -> None:
        """Work has begun whose limit is at ``when``."""
        if when < self.at:
            self._set(when)

    def stop(self) -> None:
        """Nothing is watched any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self.at = None, inf

    def _set(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.at = when
        self._timer = asyncio.get_running_loop().call_at(when, self._due)

    def _due(self) -> None:
        now = max(asyncio.get_running_loop().time(), self.at)  # timers may be early by the clock's resolution
        self._timer, self.at = None, inf
        following = inf
        for work in self._work():
            if work.until() <= now:
                work.exceed(now)
            following = min(following, work.until())
        if following < inf:
            self._set(following)
