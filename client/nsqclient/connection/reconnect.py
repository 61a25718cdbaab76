"""Keeps one nsqd connected: connects, waits until the connection is gone, pauses, and again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

from nsqclient.connection.connection import Connection
from nsqclient.durations import to_seconds
from nsqclient.errors import ConnectError, SubscribeRefused
from nsqclient.pauses import Chance, FullJitter

Failure = ConnectError | SubscribeRefused


class Reconnect:
    """The loop for one nsqd.

    ``connect`` makes a connection ready for use or raises what ``failed`` is told. Pauses follow ``pace``
    and begin anew once a connection has lived longer than the pause before it could have been. A refusal
    of what we ask won't change soon, so it is followed by long pauses.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        failed: Callable[[Failure], None],
        pace: FullJitter,
        chance: Chance,
    ) -> None:
        self._connect = connect
        self._failed = failed
        self._pace = pace
        self._chance = chance
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """Ends the present pause: there is news that the nsqd is back."""
        self._hurry.set()

    async def run(self) -> NoReturn:
        """Goes on until it is cancelled, which leaves a connection that was made as it is."""
        attempt = 0
        loop = asyncio.get_running_loop()
        while True:
            pause = self._pace.delay(attempt, self._chance())
            try:
                connection = await self._connect()
            except ConnectError as e:
                self._failed(e)
            except SubscribeRefused as e:
                self._failed(e)
                pause = to_seconds(self._pace.cap) * (1 + self._chance()) / 2
            else:
                made = loop.time()
                await connection.closed.wait()
                if loop.time() - made > self._pace.ceiling(attempt):
                    attempt = 0
                    pause = self._pace.delay(0, self._chance())
            attempt += 1
            await self._sleep(pause)

    async def _sleep(self, pause: float) -> None:
        self._hurry.clear()
        try:
            async with asyncio.timeout(pause):
                await self._hurry.wait()
        except TimeoutError:
            pass
