"""Touches messages before nsqd takes them back: one timer for a whole consumer, whatever it holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from math import inf

from nsqclient.consumer.message import HELD, Message
from nsqclient.consumer.options import Leases
from nsqclient.durations import to_seconds

SHORTEST = 0.05
"""Seconds between two looks at least."""


def due(message: Message, now: float, until: float) -> bool:
    """Whether it should be touched now: half its time, less the margin, is over, more can be had, and ``until`` is not past."""
    source = message.source
    return (
        message.state is HELD
        and now >= message.renewed_at + (source.lease - source.margin) / 2
        and now < until
        and message.renewed_at + source.lease < message.received_at + source.longest
    )


class Keeper:
    """Touches all messages that are held, if the settings say so, and those that were asked for.

    ``held`` gives what is held, ``shortest`` the shortest lease of all connections, less the margin. A message is looked at each
    quarter of its time, so it is touched with a quarter of it left at the latest. ``failed`` is told if this
    breaks.
    """

    def __init__(
        self,
        rules: Leases,
        held: Callable[[], Iterable[Message]],
        shortest: Callable[[], float],
        failed: Callable[[Exception], None],
    ) -> None:
        self._auto = rules.auto_touch
        self._limit = inf if rules.limit is None else to_seconds(rules.limit)
        self._held = held
        self._shortest = shortest
        self._failed = failed
        self._kept: dict[Message, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def joined(self) -> None:
        """There is one more connection; its lease may be the shortest."""
        if self._auto or self._kept:
            self._wind()

    def keep(self, message: Message, limit: float | None) -> None:
        """Touches this one for ``limit`` seconds from now."""
        self._kept[message] = inf if limit is None else asyncio.get_running_loop().time() + limit
        self._wind()

    def let_go(self, message: Message) -> None:
        """Touches it no more, unless all are."""
        self._kept.pop(message, None)

    def stop(self) -> None:
        """Nothing is touched any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._auto = False
        self._kept.clear()

    def _wind(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        pause = max(SHORTEST, self._shortest() / 4)
        self._timer = asyncio.get_running_loop().call_later(pause, self._look)

    def _look(self) -> None:
        try:
            now = asyncio.get_running_loop().time()
            if self._auto:
                for message in self._held():
                    if due(message, now, message.received_at + self._limit):
                        message.touch()
            for message, until in list(self._kept.items()):
                if due(message, now, until):
                    message.touch()
            if self._auto or self._kept:
                self._wind()
        except Exception as e:  # noqa: BLE001 - not swallowed: the whole consumer fails with it
            self._failed(e)
