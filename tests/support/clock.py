"""Time that passes when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast


class Timer:
    """What :meth:`Clock.call_at` returns, as far as nsqd uses it."""

    def __init__(self, when: float, call: Callable[[], object]) -> None:
        self._when = when
        self.call = call
        self.cancelled = False

    def when(self) -> float:
        return self._when

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """Stands in for the loop where a topic, channel or connection asks for the time or sets a timer.

    Whatever else the loop does goes on as ever.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._now = 1000.0
        self._timers: list[Timer] = []

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """This clock, to be put in the place of a loop."""
        return cast(asyncio.AbstractEventLoop, self)

    def time(self) -> float:
        return self._now

    def call_soon(self, callback: Callable[..., object], *args: Any) -> asyncio.Handle:
        return self._loop.call_soon(callback, *args)

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> Timer:
        timer = Timer(when, lambda: callback(*args))
        self._timers.append(timer)
        if when <= self._now:
            self._loop.call_soon(self.advance, 0.0)
        return timer

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        return self.call_at(self._now + delay, callback, *args)

    def advance(self, seconds: float) -> None:
        """Lets time pass; timers run in their order, each at its time."""
        end = self._now + seconds
        while True:
            self._timers = [timer for timer in self._timers if not timer.cancelled]
            due = [timer for timer in self._timers if timer.when() <= end]
            if not due:
                break
            first = min(due, key=Timer.when)
            self._timers.remove(first)
            self._now = max(self._now, first.when())
            first.call()
        self._now = end
