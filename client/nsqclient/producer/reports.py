"""What became of messages that nobody waits for: a bounded ring that may be read, or not."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple, Self

from nsqclient.errors import NsqError
from nsqclient.producer.delivery import Receipt


class Report(NamedTuple):
    """The outcome of a message that nobody waits for."""

    topic: str
    """Where the message went, or was to go."""
    note: object
    """What was given to ``submit``."""
    key: str | None
    """The message key, if one went along."""
    receipt: Receipt | None
    """None when it failed."""
    error: NsqError | None
    """None when it is stored."""
    abandoned: bool = False
    """Its publish was cancelled after the message had been written."""
    copy_node: str = ""
    """For one of several copies that its publish succeeded without: the nsqd it was for."""


class Ring:
    """The latest ``capacity`` reports. Where room is wanted, the oldest successes go first."""

    def __init__(self, capacity: int) -> None:
        self.dropped: int = 0
        """How many went before anybody had read them."""
        self._capacity = capacity
        self._good: deque[tuple[int, Report]] = deque()
        self._bad: deque[tuple[int, Report]] = deque()
        self._count = 0
        self._ended = False
        self._waiting: set[asyncio.Future[None]] = set()

    def add(self, report: Report) -> None:
        """Keeps it."""
        self._count += 1
        (self._good if report.error is None else self._bad).append((self._count, report))
        if len(self._good) + len(self._bad) > self._capacity:
            (self._good or self._bad).popleft()
            self.dropped += 1
        self._wake()

    def end(self) -> None:
        """No more will come; readers end once they have read the rest."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._waiting:
            for waiter in self._waiting:
                if not waiter.done():
                    waiter.set_result(None)

    def take(self, good: bool, bad: bool) -> Report | None:
        """The oldest of the wanted kinds."""
        queue = self._bad if bad else self._good
        if good and bad and self._good and (not self._bad or self._good[0] < self._bad[0]):
            queue = self._good
        return queue.popleft()[1] if queue else None

    async def next(self, good: bool, bad: bool) -> Report | None:
        """The same, waited for; None when none will come. Cancelling it loses none."""
        while True:
            report = self.take(good, bad)
            if report is not None or self._ended:
                return report
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.add(waiter)
            try:
                await waiter
            finally:
                self._waiting.discard(waiter)


class Reports:
    """An endless ``async for`` over reports, until the producer has closed. Each is read by one reader."""

    def __init__(self, ring: Ring, good: bool, bad: bool) -> None:
        self._ring = ring
        self._good = good
        self._bad = bad

    @property
    def dropped(self) -> int:
        """How many reports of the producer were lost because nobody read them in time."""
        return self._ring.dropped

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Report:
        report = await self._ring.next(self._good, self._bad)
        if report is None:
            raise StopAsyncIteration
        return report
