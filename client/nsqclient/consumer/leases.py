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
OVERDUE = 5.0
"""Seconds that nsqd is given to take a message back whose time is over; it looks now and then only, and an
answer that comes before is as good as ever."""


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
    """Touches all messages that are held, if the settings say so, and those that were asked for; and tells of
    those that nobody answered until nsqd must have taken them back.

    ``held`` gives what is held, ``shortest`` the shortest lease of all connections, less the margin, or ``inf``
    without any. A message is looked at each quarter of its time, so it is touched with a quarter of it left at
    the latest. ``failed`` is told if this breaks.
    """

    def __init__(
        self,
        rules: Leases,
        held: Callable[[], Iterable[Message]],
        shortest: Callable[[], float],
        lapsed: Callable[[list[Message]], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._auto = rules.auto_touch
        self._limit = inf if rules.limit is None else to_seconds(rules.limit)
        self._held = held
        self._shortest = shortest
        self._lapsed = lapsed
        self._failed = failed
        self._kept: dict[object, tuple[Message, float]] = {}
        """By who asked: the message, and until when."""
        self._timer: asyncio.TimerHandle | None = None

    def joined(self) -> None:
        """There is one more connection; its lease may be the shortest."""
        self._wind()

    def keep(self, who: object, message: Message, limit: float | None) -> None:
        """Touches this one for ``limit`` seconds from now, on behalf of ``who``."""
        self._kept[who] = message, inf if limit is None else asyncio.get_running_loop().time() + limit

    def let_go(self, who: object) -> None:
        """Touches nothing on behalf of ``who`` any more."""
        self._kept.pop(who, None)

    def stop(self) -> None:
        """Nothing is touched any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._kept.clear()

    def _wind(self) -> None:
        """Sees to it that there is a look in time; one that comes sooner is not put off."""
        pause = max(SHORTEST, self._shortest() / 4)
        when = asyncio.get_running_loop().time() + pause
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        if pause < inf:
            self._timer = asyncio.get_running_loop().call_at(when, self._look)

    def _look(self) -> None:
        self._timer = None
        try:
            now = asyncio.get_running_loop().time()
            held = list(self._held())
            if self._auto:
                for message in held:
                    if due(message, now, message.received_at + self._limit):
                        message.touch()
            for message, until in list(self._kept.values()):
                if due(message, now, until):
                    message.touch()
            lapsed = [
                message for message in held if now > message.renewed_at + message.source.lease + OVERDUE
            ]
            if lapsed:
                self._lapsed(lapsed)
            self._wind()
        except Exception as e:  # noqa: BLE001 - not swallowed: the whole consumer fails with it
            self._failed(e)
