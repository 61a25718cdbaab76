"""Messages received and not yet handed out, oldest first, and those who wait for one.

A waiter is woken, not given a message: it takes one when it runs. So a waiter that is cancelled meanwhile
loses nothing, and the message stays first in line.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from nsqclient.consumer.message import Message


class Intake:
    """The line."""

    def __init__(self) -> None:
        self.messages: deque[Message] = deque()
        self.ended: bool = False
        """Nothing comes any more."""
        self._waiters: deque[asyncio.Future[None]] = deque()

    def buffered(self) -> int:
        """How many messages there are."""
        return len(self.messages)

    def add(self, batch: list[Message]) -> None:
        """They came."""
        self.messages.extend(batch)
        self.wake(len(batch))

    def put_back(self, taken: list[Message]) -> None:
        """They were taken in vain, and come first again."""
        self.messages.extendleft(reversed(taken))
        self.wake(len(taken))

    def end(self) -> list[Message]:
        """Nothing is handed out any more; returns what was not."""
        self.ended = True
        left = list(self.messages)
        self.messages.clear()
        self.wake(len(self._waiters))
        return left

    def drop(self, lost: Iterable[Message]) -> None:
        """These are not worth handing out."""
        gone = set(lost)
        if gone:
            kept = [message for message in self.messages if message not in gone]
            self.messages.clear()
            self.messages.extend(kept)

    async def wait(self) -> None:
        """Until there may be a message, or the end."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                try:
                    self._waiters.remove(waiter)
                except ValueError:
                    pass  # it was woken in vain
            if self.messages or self.ended:
                self.wake(1)
            raise

    def wake(self, count: int) -> None:
        """Has up to so many of those who wait look again."""
        while count > 0 and self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                count -= 1
