"""Asks many daemons over and over, all at once, so that one that hangs holds nobody up twice.

A round waits for every daemon, for as long as its timeouts let it; but a daemon whose last answer was long
in failing is asked on the side: its answer counts in the round that finds it there, and from then on it is
waited for again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

from nsqclient.errors import NsqError

T = TypeVar("T")

LONG_S = 0.25
"""A failure that took longer than so many seconds is not waited for again: refused connections take less."""


class Asked(Generic[T]):
    """One daemon and what it last said."""

    def __init__(self, address: str, ask: Callable[[], Awaitable[T]], news: Callable[[str], None]) -> None:
        """``news`` gets a line when it ceases to answer, and when it answers again."""
        self.address = address
        self.answer: T | None = None
        """Of the last round; None when it gave none."""
        self.reason: str = ""
        """Why it gave none; printable, whatever the daemon answered."""
        self._ask = ask
        self._news = news
        self._task: asyncio.Task[T] | None = None
        self._took = 0.0
        self._slow = False
        self._heard = True

    def begin(self) -> asyncio.Task[T] | None:
        """Asks, unless it is still being asked; returns what to wait for, if anything is."""
        if self._task is None:
            self._task = asyncio.ensure_future(self._asking())
        return None if self._slow else self._task

    def collect(self) -> None:
        """Takes what has come, after the round's wait."""
        self.answer = None
        task = self._task
        if task is None or not task.done():
            return
        self._task = None
        try:
            self.answer = task.result()
        except NsqError as e:
            self.reason = visible(str(e))
            self._slow = self._took > LONG_S
            if self._heard:
                self._news(f"no answer ({self.reason}); what it has is left out until it answers")
            self._heard = False
        else:
            self._slow = False
            if not self._heard:
                self._news("answers again")
            self._heard = True

    async def close(self) -> None:
        """Asks no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _asking(self) -> T:
        begun = time.monotonic()
        try:
            return await self._ask()
        finally:
            self._took = time.monotonic() - begun


async def ask_all(daemons: Iterable[Asked[T]]) -> None:
    """One round: each has its ``answer`` afterwards, or has none."""
    asked = list(daemons)
    waited = [task for daemon in asked if (task := daemon.begin()) is not None]
    if waited:
        await asyncio.wait(waited)
    for daemon in asked:
        daemon.collect()


def visible(text: str) -> str:
    """On one line, and without what would steer a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
