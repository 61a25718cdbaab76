"""One browser: what is on its way to it, what it has not answered, and the bounds of both.

Nothing here waits. The socket's writer takes from :attr:`Session.queue`; everything in it is bounded:
messages by what may be outstanding, other texts by ``MOST_TEXTS``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Literal, NamedTuple, Protocol

from nsqclient.push.answerable import Answerable
from nsqclient.push.counters import Counters
from nsqclient.push.grants import Grant
from nsqclient.push.protocol import Close, encode, message_frame
from nsqclient.push.settings import Settings

MOST_TEXTS = 300
"""Texts other than messages that wait to be sent."""
Verdict = Literal["ack", "nack", "late", "gone"]
"""What became of a message at one browser: it was handled, or handed back, or not answered in time, or the
browser went away."""

MOST_TIMEOUTS = 3
"""Messages in a row that time out; then nobody is there who answers."""


class Feed(Protocol):
    """Where a message came from, and where its answers go."""

    def answered(self, delivery: Delivery, session: Session, verdict: Verdict, delay: float | None) -> None:
        """A browser has answered, or will not any more."""

    def touched(self, delivery: Delivery) -> None:
        """A browser needs more time."""

    def leave(self, session: Session) -> None:
        """The browser does not listen any more; what it holds it may still answer."""


class Delivery:
    """One message on its way to one browser or more. The feed that it belongs to decides what becomes of it."""

    __slots__ = (
        "acked",
        "deadline",
        "delay",
        "failed",
        "feed",
        "finished",
        "gone",
        "key",
        "latest",
        "raw",
        "size",
        "tail",
        "waiting",
    )

    def __init__(self, feed: Feed, raw: Answerable, tail: str, now: float, hold: float) -> None:
        self.feed: Feed = feed
        self.raw: Answerable = raw
        """The message; it has to be finished or requeued."""
        self.tail: str = tail
        self.size: int = max(len(tail), len(raw.body))
        """What it counts for, in bytes."""
        self.key: tuple[str, str] = (raw.node, raw.id)
        self.waiting: dict[Session, int] = {}
        """Who has not answered yet, and the number of the message there."""
        self.acked: list[int] = []
        """Sessions that have."""
        self.failed: bool = False
        """Somebody could not handle it, or did not answer."""
        self.gone: bool = False
        """Somebody left without an answer."""
        self.delay: float | None = None
        """The longest that somebody asked for."""
        self.finished: bool = False
        """nsqd was told that it is done, although answers are missing."""
        self.deadline: float = 0.0
        self.latest: float = now + hold
        """The deadline can't be moved beyond this."""


class Outstanding(NamedTuple):
    """A message that one connection has not answered."""

    delivery: Delivery
    size: int


class Session:
    """One connection whose token was good."""

    def __init__(self, number: int, grant: Grant, settings: Settings, counters: Counters) -> None:
        self.number = number
        self.user: str = grant.user
        self.grant = grant
        self.outstanding: dict[int, Outstanding] = {}
        self.outstanding_bytes: int = 0
        self.subscriptions: dict[tuple[str, str], Feed] = {}
        self.queue: deque[str] = deque()
        self.news: asyncio.Event = asyncio.Event()
        """Set when the queue has something."""
        self.closing: asyncio.Future[tuple[Close, str]] = asyncio.get_running_loop().create_future()
        """Why the connection is to be closed, once it is."""
        self.timeouts: int = 0
        """Messages that timed out since the last answer."""
        self._settings = settings
        self._counters = counters
        self._seq = 0
        self._texts = 0
        self._dropped = 0

    @property
    def alive(self) -> bool:
        """Whether it is not being closed."""
        return not self.closing.done()

    def has_room(self, size: int) -> bool:
        """Whether one more message of so many bytes may be outstanding; a first one always may."""
        settings = self._settings
        return not self.outstanding or (
            len(self.outstanding) < settings.max_outstanding
            and self.outstanding_bytes + size <= settings.max_outstanding_bytes
        )

    def offer(self, delivery: Delivery) -> bool:
        """Sends a message. When there is no room, the connection is closed or does without, and it is False."""
        if not self.alive:
            return False
        size = delivery.size
        if not self.has_room(size):
            self._counters.dropped_total += 1
            if self._settings.slow == "close":
                self.close(Close.TOO_SLOW, f"{len(self.outstanding)} messages are not acknowledged")
            else:
                self._dropped += 1
            return False
        self._seq += 1
        self.outstanding[self._seq] = Outstanding(delivery, size)
        self.outstanding_bytes += size
        delivery.waiting[self] = self._seq
        self._counters.pushed_total += 1
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self.tell(encode("dropped", count=dropped))
        self.queue.append(message_frame(self._seq, delivery.tail))
        self.news.set()
        return True

    def take(self, seq: int) -> Delivery | None:
        """The message is answered, or its time is over: it makes room. None when it is not outstanding."""
        found = self.outstanding.pop(seq, None)
        if found is None:
            return None
        self.outstanding_bytes -= found.size
        return found.delivery

    def tell(self, text: str) -> None:
        """Sends what is no message; a connection that lets too much of that pile up is closed."""
        if not self.alive:
            return
        self._texts += 1
        if self._texts > MOST_TEXTS:
            self.close(Close.TOO_SLOW, "answers are not read")
            return
        self.queue.append(text)
        self.news.set()

    def next_text(self) -> str:
        """The oldest of the queue, to be sent now."""
        text = self.queue.popleft()
        if not text.startswith('{"type":"message"'):
            self._texts -= 1
        return text

    def timed_out(self) -> None:
        """It did not answer a message in time."""
        self.timeouts += 1
        if self.timeouts >= MOST_TIMEOUTS:
            self.close(Close.TOO_SLOW, "messages are not answered")

    def close(self, code: Close, reason: str) -> None:
        """Ends the connection; the first reason counts."""
        if not self.closing.done():
            self.closing.set_result((code, reason))

    def __repr__(self) -> str:
        return f"<Session {self.number} of {self.user} outstanding={len(self.outstanding)}>"
