"""The connections that a daemon has open, so that its end can be theirs."""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import Iterator
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

log = logging.getLogger(__name__)


class Closable(Protocol):
    """What is asked of a connection. It discards itself when its socket is gone."""

    def close(self) -> None:
        """Ends it; what was written may still go out."""

    def cut(self) -> None:
        """Ends it at once, whatever is still to be written."""


C = TypeVar("C", bound=Closable)


class Connections(Generic[C]):
    """The connections that are open now."""

    def __init__(self) -> None:
        self._open: set[C] = set()
        self._closing = False
        self._crowded = _crowded()
        self._none_left = asyncio.Event()
        self._none_left.set()

    def __iter__(self) -> Iterator[C]:
        return iter(self._open)

    def add(self, connection: C) -> None:
        """A connection was made; it is closed again if all of them are being closed."""
        self._open.add(connection)
        self._none_left.clear()
        if len(self._open) == self._crowded:
            log.warning(
                "%d connections are open and more will soon be turned away: this process may open %d files (ulimit -n)",
                self._crowded,
                resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            )
        if self._closing:
            connection.close()

    def discard(self, connection: C) -> None:
        """A connection was lost."""
        self._open.discard(connection)
        if not self._open:
            self._none_left.set()

    async def none_left(self) -> None:
        """Waits until no connection is open."""
        await self._none_left.wait()

    async def close(self, grace: float) -> None:
        """Closes all, and returns when they are gone: cut after ``grace`` seconds if need be."""
        self._closing = True
        for connection in list(self._open):
            connection.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._none_left.wait()
        for connection in list(self._open):
            connection.cut()
        await self._none_left.wait()


def _crowded() -> int:
    """How many connections leave few descriptors for others; out of them, the loop closes what it accepts.

    And says nothing of it, so it is said before.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return limit - max(limit // 10, 64) if limit != resource.RLIM_INFINITY else -1
