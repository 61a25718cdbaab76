"""Time that passes when a test says so: the clock of the running event loop, taken over.

The library knows one clock, the loop's, and one kind of timer, the loop's. So a test that moves
``loop.time()`` moves leases, pauses between connects, back-off, deadlines and heartbeats, all together::

    async with Clock() as clock:
        waiting = asyncio.create_task(asyncio.sleep(3600))
        await clock.advance(3600)
        assert waiting.done()

Only what asks the loop is moved: ``time.time()`` goes on as ever, and so do threads and other processes.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from math import inf
from types import TracebackType
from typing import Any, Self, cast
from weakref import WeakKeyDictionary

from nsqclient.durations import Seconds, to_seconds

RESOLUTION = 1e-6
"""Seconds by which a timer may run early: large enough for sums of floats to be as good as equal."""
QUIET_TURNS = 3
"""Turns of the loop with nothing to run until it counts as being at rest: bytes on a socket of this
process are seen one turn after they were written."""
BUSY_TURNS = 100_000
"""Turns after which a loop that never comes to rest is given up."""


class LoopNeverRests(AssertionError):
    """Something keeps the loop busy for ever, so that waiting for its rest makes no sense."""


class _LoopTime:
    """The time of one loop, and a look at what the loop has to do."""

    def __init__(self, loop: Any, frozen: bool) -> None:
        self.loop = loop
        self.frozen = frozen
        self.ahead: float = loop.time() - (0.0 if frozen else time.monotonic())
        """Seconds that the loop's time is ahead of the real one; while frozen, the time itself."""
        try:
            loop._scheduled, loop._ready  # noqa: B018, SLF001 - no public way to see what a loop has to do
            self._resolution = loop._clock_resolution  # noqa: SLF001
            loop.time = self.time
        except AttributeError:
            kind = type(loop).__module__
            raise RuntimeError(
                f"the clock of {kind}'s loop can't be moved; run tests on asyncio's loop"
            ) from None
        loop._clock_resolution = RESOLUTION  # noqa: SLF001
        self._slow, loop.slow_callback_duration = loop.slow_callback_duration, inf
        # a callback during which time is moved is not slow

    def time(self) -> float:
        return self.ahead if self.frozen else self.ahead + time.monotonic()

    def set_frozen(self, frozen: bool) -> None:
        if frozen != self.frozen:
            self.ahead, self.frozen = self.time() - (0.0 if frozen else time.monotonic()), frozen

    def move_to(self, when: float) -> None:
        self.ahead += max(0.0, when - self.time())

    def next_timer(self) -> float:
        timers = self.loop._scheduled  # noqa: SLF001
        return min((timer.when() for timer in timers if not timer.cancelled()), default=inf)

    @property
    def busy(self) -> bool:
        ready: Collection[object] = self.loop._ready  # noqa: SLF001
        return bool(ready) or self.next_timer() < self.time() + RESOLUTION

    def let_go(self) -> None:
        self.set_frozen(False)
        self.loop._clock_resolution = self._resolution  # noqa: SLF001
        self.loop.slow_callback_duration = self._slow


_taken: WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopTime] = WeakKeyDictionary()
"""The loops whose time is taken over at present."""


class Clock:
    """The time of the running loop while the block runs; it stands still unless ``frozen`` is False.

    A clock that is not frozen flows with real time, and can be moved ahead all the same. Time never goes
    back: when the block ends it flows on from where it is. A block within another of the same loop shares
    the outer one's time. Works with asyncio's own loops; uvloop's clock can't be replaced, which raises
    RuntimeError.

    While time stands still nothing ever times out by itself, a test's own ``asyncio.timeout`` included:
    let such a test have a limit from outside (pytest-timeout).
    """

    def __init__(self, *, frozen: bool = True) -> None:
        self._start_frozen = frozen
        self._time: _LoopTime | None = None
        self._inner = False

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Takes over the running loop's time; what the block does when it is entered."""
        loop = asyncio.get_running_loop()
        self._inner = loop in _taken
        if not self._inner:
            _taken[loop] = _LoopTime(loop, self._start_frozen)
        self._time = _taken[loop]

    def stop(self) -> None:
        """Lets time flow again, from where it is; twice is fine."""
        taken, self._time = self._time, None
        if taken is not None and not self._inner:
            del _taken[taken.loop]
            taken.let_go()

    @property
    def _now(self) -> _LoopTime:
        if self._time is None:
            raise RuntimeError("the clock is not running; use it with 'async with'")
        return self._time

    @property
    def frozen(self) -> bool:
        """Whether time stands still."""
        return self._now.frozen

    def time(self) -> float:
        """Seconds, as ``loop.time()`` gives them now."""
        return self._now.time()

    def freeze(self) -> None:
        """Time stands still from now on."""
        self._now.set_frozen(True)

    def flow(self) -> None:
        """Time goes on with real time from now on."""
        self._now.set_frozen(False)

    async def advance(self, seconds: Seconds) -> None:
        """Lets that much time pass, at once.

        Timers run in their order, each at its own time, and whatever they set off runs before the next:
        after 60 seconds with a heartbeat each 30 s, two were sent and answered. Returns when the loop is
        at rest (:meth:`settle`).
        """
        now = self._now
        end = now.time() + to_seconds(seconds)
        await self.settle()
        while (when := now.next_timer()) <= end:
            now.move_to(when)
            await self.settle()
        now.move_to(end)
        await self.settle()

    async def settle(self) -> None:
        """Waits until there is nothing left to run: tasks wait, timers are not due.

        Sees what happens in this loop, its sockets to itself included; not what threads and other
        processes will do. Raises LoopNeverRests.
        """
        now = self._now
        quiet = 0
        for _ in range(BUSY_TURNS):
            await asyncio.sleep(0)
            quiet = 0 if now.busy else quiet + 1
            if quiet == QUIET_TURNS:
                return
        raise LoopNeverRests(f"the loop was still busy after {BUSY_TURNS} turns")


@contextmanager
def real_limit(seconds: Seconds, expired: Callable[[], object]) -> Iterator[None]:
    """Calls ``expired`` in the running loop after so many real seconds, even while its time stands still."""
    loop = asyncio.get_running_loop()
    ended = False

    def tell() -> None:
        if not ended:
            expired()

    def ring() -> None:
        try:
            loop.call_soon_threadsafe(tell)
        except RuntimeError:  # the loop was closed meanwhile, and nobody waits any more
            pass

    timer = threading.Timer(to_seconds(seconds), ring)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        ended = True
        timer.cancel()


class News:
    """Something that changes, and conditions on it that are waited for without sleeping."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def tell(self) -> None:
        """Something changed: conditions are looked at again, each in its own task."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def until(
        self, condition: Callable[[], bool], timeout: Seconds, missing: Callable[[], str]
    ) -> None:
        """Waits until ``condition`` holds; AssertionError with ``missing()`` after ``timeout`` real seconds."""
        late = False

        def expired() -> None:
            nonlocal late
            late = True
            self.tell()

        with real_limit(timeout, expired):
            while not condition():
                if late:
                    raise AssertionError(f"{missing()} (waited {to_seconds(timeout):g} s)")
                waiting = cast(asyncio.Future[None], asyncio.get_running_loop().create_future())
                self._waiting.add(waiting)
                try:
                    await waiting
                finally:
                    self._waiting.discard(waiting)
