"""What happens inside a consumer, for those who want to know.

Nobody has to listen, and listening slows nothing down: each listener has a bounded line of its own, whose
oldest events go first when it does not keep up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Literal, Self
from weakref import WeakSet

Reason = Literal["refused", "redelivered", "expired", "disconnected", "late"]
"""See :class:`LeaseLost`."""
LINE = 1000
"""Events that a listener may be behind."""


@dataclass(frozen=True, slots=True)
class ConsumerEvent:
    """What all events have in common: their kind, which is their class."""


@dataclass(frozen=True, slots=True)
class NodeUp(ConsumerEvent):
    """A nsqd is connected; :class:`Subscribed` follows, or :class:`NodeDown`."""

    node: str
    """Its address."""


@dataclass(frozen=True, slots=True)
class NodeDown(ConsumerEvent):
    """A connection ended, or could not be made, or the subscription was refused. It is tried again."""

    node: str
    """Its address."""
    error: Exception
    """A ConnectError, or SubscribeRefused."""


@dataclass(frozen=True, slots=True)
class LookupFailed(ConsumerEvent):
    """A nsqlookupd did not answer as it should; said once until it does."""

    url: str
    """Which one."""
    reason: str
    """For people."""


@dataclass(frozen=True, slots=True)
class Subscribed(ConsumerEvent):
    """A nsqd accepted the subscription."""

    node: str
    """Its address."""


@dataclass(frozen=True, slots=True)
class BackoffEntered(ConsumerEvent):
    """A pause of the back-off began."""

    level: int
    """1 after the first failure; each failure adds one, each success takes one off."""
    wait: float
    """Seconds."""
    node: str | None
    """The nsqd that is not asked for messages meanwhile; None when none is."""


@dataclass(frozen=True, slots=True)
class BackoffLeft(ConsumerEvent):
    """The back-off is over."""

    node: str | None
    """The nsqd that is asked again; None for all of them."""


@dataclass(frozen=True, slots=True)
class RdyChanged(ConsumerEvent):
    """A nsqd was told how many messages it may have under way."""

    node: str
    """Its address."""
    count: int
    """So many."""


@dataclass(frozen=True, slots=True)
class GaveUp(ConsumerEvent):
    """A message had its last attempt, or was declared dead."""

    node: str
    """The nsqd that sent it."""
    message_id: str
    """16 hexadecimal digits."""
    attempts: int
    """Its deliveries."""
    error: BaseException | None
    """What it failed with last, if that is known."""


@dataclass(frozen=True, slots=True)
class LeaseLost(ConsumerEvent):
    """nsqd delivers a message again although it was, or is being, worked on here."""

    node: str
    """The nsqd that sent it."""
    message_id: str
    """16 hexadecimal digits."""
    reason: Reason
    """``refused``: nsqd did not take an answer, as the message's time had run out. ``redelivered``: it came
    here once more. ``expired``: it waited here for too long to be handed out, or nobody answered it in time. ``disconnected``: its
    connection ended. ``late``: an answer was given to a message that was lost already."""


@dataclass(frozen=True, slots=True)
class Duplicate(ConsumerEvent):
    """A message was finished without being handed out: its key was worked on before."""

    node: str
    """The nsqd that sent it."""
    message_id: str
    """16 hexadecimal digits."""
    key: str
    """What the store knew it by."""


@dataclass(frozen=True, slots=True)
class Expired(ConsumerEvent):
    """A message came after the deadline that its sender set."""

    node: str
    """The nsqd that sent it."""
    message_id: str
    """16 hexadecimal digits."""
    late: float
    """Seconds."""


@dataclass(frozen=True, slots=True)
class LoopBlocked(ConsumerEvent):
    """The event loop stood still for about a heartbeat or longer; nsqd may have closed the connections."""

    seconds: float
    """For how long."""


class EventStream:
    """The events of one consumer from now on, until it is closed. ``async for`` reads them."""

    def __init__(self, line: int = LINE) -> None:
        self.dropped: int = 0
        """How many events went unread, because more came than the line holds."""
        self._line: deque[ConsumerEvent] = deque(maxlen=line)
        self._news = asyncio.Event()
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ConsumerEvent:
        while not self._line:
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._line.popleft()

    def put(self, event: ConsumerEvent) -> None:
        """Adds an event, at the cost of the oldest when the line is full."""
        self.dropped += len(self._line) == self._line.maxlen
        self._line.append(event)
        self._news.set()

    def end(self) -> None:
        """Nothing happens any more; what is in the line can still be read."""
        self._ended = True
        self._news.set()


class Events:
    """Tells listeners. Ask ``wanted`` before making an event: mostly nobody listens."""

    def __init__(self) -> None:
        self.wanted: bool = False
        """Whether anybody has ever listened."""
        self._listeners: WeakSet[EventStream] = WeakSet()
        self._ended = False

    def emit(self, event: ConsumerEvent) -> None:
        """It happened."""
        for listener in list(self._listeners):
            listener.put(event)

    def listen(self) -> EventStream:
        """A new listener; it is forgotten when its user drops it."""
        stream = EventStream()
        if self._ended:
            stream.end()
        else:
            self.wanted = True
            self._listeners.add(stream)
        return stream

    def end(self) -> None:
        """Nothing happens any more."""
        self._ended = True
        for listener in list(self._listeners):
            listener.end()
