"""What a handler gets: a message, and the ways to answer it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeVar

from nsqclient.consumer.backoff import Signal
from nsqclient.content import codecs
from nsqclient.content.codecs import Codec
from nsqclient.content.envelope import NO_HEADERS
from nsqclient.content.propagation import CONTENT_TYPE, read
from nsqclient.content.scope import received_scope
from nsqclient.durations import Seconds, within
from nsqclient.errors import AlreadySettled, ConfigError, Control, DeadLetter, Drop, Retry
from nsqcore.wire.frames import MESSAGE_HEAD, MESSAGE_HEAD_SIZE

log = logging.getLogger(__name__)

State = Literal["held", "finished", "requeued", "lost"]

HELD: State = "held"
FINISHED: State = "finished"
REQUEUED: State = "requeued"
LOST: State = "lost"

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Source(Protocol):
    """Where a message came from, and where its answers go."""

    node: str
    topic: str
    channel: str
    lease: float
    """Seconds until nsqd takes a message back that is neither answered nor touched."""
    longest: float
    """Seconds until it does so in spite of TOUCH."""
    margin: float
    """Seconds that messages and answers are taken to travel."""
    codec: Codec
    settled: Settled

    def finished(self, id_bytes: bytes) -> None:
        """The message is done."""

    def requeue(self, message: Message, delay: Seconds | None) -> None:
        """The message is to come again, and nothing is wrong."""

    def hand_back(self, message: Message) -> None:
        """The message is to come again at once: it was not worked on to its end."""

    def expire(self, message: Message) -> None:
        """Its time ran out before it was handed out."""

    def failed(self, message: Message, error: BaseException | None, delay: Seconds | None) -> None:
        """The message is to come again, or to be given up: something is wrong."""

    def dead(self, message: Message, error: DeadLetter) -> None:
        """The message is to be given up at once."""

    def end_given_up(self, message: Message, signal: Signal | None) -> None:
        """Finishes a message that had its last attempt; ``signal`` tells whether it failed just now."""

    def touched(self, message: Message) -> None:
        """The message's time starts again."""

    def lapse(self, message: Message) -> None:
        """Nobody answered it in time, and nsqd must have taken it back."""

    def keep(self, who: object, message: Message, limit: float | None) -> None:
        """The message is touched in time from now on, for up to ``limit`` seconds, on behalf of ``who``."""

    def let_go(self, who: object) -> None:
        """Nothing is touched on behalf of ``who`` any more."""

    def too_late(self, message: Message, wanted: State) -> None:
        """An answer was given to a message that is lost, after which it would be ``wanted``."""


class Settled:
    """What an answer to a message returns. It need not be awaited: the answer leaves by itself.

    Awaiting it waits until everything that was sent to that nsqd has left for the system, or the connection is
    gone. nsqd confirms no answer; that it refused one comes as the event ``LeaseLost``.
    """

    __slots__ = ("_wait",)

    def __init__(self, wait: Callable[[], Coroutine[object, object, None]] | None = None) -> None:
        self._wait = wait

    def __await__(self) -> Generator[object, object, None]:
        if self._wait is not None:
            yield from self._wait().__await__()


NOTHING_SENT = Settled()


class Message:
    """One delivery of a message; it must be answered with :meth:`finish` or :meth:`requeue`.

    ``async with message:`` does so by itself: it finishes the message when the block ends, and requeues
    it when the block raises (the exception goes on) or is cancelled. Raising :class:`Retry`, :class:`Drop` or
    :class:`DeadLetter` inside it gives that answer, and ends the block without an exception.

    All answers act at once and never block. An answer to a message that is ``lost`` does nothing: nsqd
    takes answers on the connection of the delivery alone, and delivers the message again.
    """

    __slots__ = (
        "attempts",
        "body",
        "given_up",
        "id_bytes",
        "received_at",
        "renewed_at",
        "source",
        "state",
        "timestamp_ns",
    )

    timestamp_ns: int
    """When it was published: Unix nanoseconds."""
    attempts: int
    """Deliveries so far, this one included."""
    id_bytes: bytes
    """The ID as it is on the wire."""

    def __init__(self, source: Source, data: bytes, received_at: float) -> None:
        """``data`` is a message frame's; raises struct.error when it is too short."""
        self.timestamp_ns, self.attempts, self.id_bytes = MESSAGE_HEAD.unpack_from(data)
        self.body: bytes = data[MESSAGE_HEAD_SIZE:]
        self.received_at: float = received_at
        """When it was received, on the event loop's clock (seconds)."""
        self.renewed_at: float = received_at
        """When its time began: when it was touched last, or else received. Where nsqd's longest time is all but
        over a touch can't renew it in full, and this is as much earlier."""
        self.source: Source = source
        self.state: State = HELD
        """``held`` until it is answered; ``lost`` when its connection ended or nsqd took it back.
        The library sets it."""
        self.given_up: bool = False
        """Whether it had all the attempts its consumer allows, and is finished for that reason."""

    @property
    def id(self) -> str:
        """16 hexadecimal digits; the same for each delivery from one nsqd."""
        return self.id_bytes.decode("ascii", "replace")

    @property
    def timestamp(self) -> datetime:
        """When it was published, to the microsecond, in UTC."""
        return _EPOCH + timedelta(microseconds=self.timestamp_ns // 1000)

    @property
    def topic(self) -> str:
        """The topic it was published to."""
        return self.source.topic

    @property
    def channel(self) -> str:
        """The channel it was received from."""
        return self.source.channel

    @property
    def node(self) -> str:
        """The address of the nsqd that sent it."""
        return self.source.node

    @property
    def headers(self) -> Mapping[str, str]:
        """What was sent along with the body; empty unless the consumer reads headers."""
        return NO_HEADERS

    @property
    def key(self) -> str | None:
        """What its sender named it by, whatever its ID; None without headers."""
        return None

    # ---- its content

    def json(self) -> Any:
        """The body read as JSON; raises CodecError."""
        return codecs.json.decode(self.body, object)

    def decode(self, as_type: type[T]) -> T:
        """The body as ``as_type``, read by the consumer's codec; raises CodecError."""
        return codecs.decode(self.source.codec, self.body, as_type, self.headers.get(CONTENT_TYPE, ""))

    def scope(self) -> received_scope:
        """The scope that came along from the sender, and no other: ``async with message, message.scope(): ...``.

        For code that takes messages from an iterator; handlers have it anyway.
        """
        brought = read(self.headers, self.timestamp_ns)
        return brought.scope(asyncio.get_running_loop().time(), time.time())

    # ---- its answers

    def finish(self) -> Settled:
        """The message is done; raises AlreadySettled if it was requeued before."""
        if self.state is HELD:
            self.state = FINISHED
            self.source.finished(self.id_bytes)
            return self.source.settled
        if self.state is LOST:
            self.source.too_late(self, FINISHED)
            return NOTHING_SENT
        if self.state is not FINISHED:
            raise AlreadySettled(f"message {self.id} was requeued, and can't be finished")
        return self.source.settled

    def requeue(self, delay: Seconds | None = None, *, backoff: bool = True) -> Settled:
        """The message is to be delivered again, after ``delay`` seconds.

        Without a delay the consumer's requeue policy decides. It counts as a failure, so the consumer
        slows down, and gives the message up if it has had all its attempts; with ``backoff=False``
        neither happens. Raises AlreadySettled if it was finished before, and DelayOutOfRange.
        """
        if self.state is HELD:
            if backoff:
                self.source.failed(self, None, delay)
            else:
                self.source.requeue(self, delay)
        elif self.state is LOST:
            self.source.too_late(self, REQUEUED)
            return NOTHING_SENT
        elif self.state is not REQUEUED and not self.given_up:
            raise AlreadySettled(f"message {self.id} was finished, and can't be requeued")
        return self.source.settled

    def touch(self) -> Settled:
        """Asks nsqd for the whole message timeout once more; nothing happens when it is answered."""
        if self.state is HELD:
            self.source.touched(self)
            return self.source.settled
        if self.state is LOST:
            self.source.too_late(self, HELD)
        return NOTHING_SENT

    # ---- its time

    def time_left(self, *, hard: bool = False) -> float:
        """Seconds until nsqd may deliver it again, if it is not touched; 0 once it is answered or lost.

        ``hard``: until nsqd does so whether it is touched or not. Below 0 when that has passed. It counts from
        when the message was received, less ``Leases.margin``.
        """
        if self.state is not HELD:
            return 0.0
        end = self.received_at + self.source.longest
        if not hard:
            end = min(end, self.renewed_at + self.source.lease)
        return end - self.source.margin - asyncio.get_running_loop().time()

    def keep_alive(self, *, limit: Seconds | None = None) -> AbstractAsyncContextManager[None, None]:
        """Touches the message in time while the block runs, for ``limit`` seconds at most; None: while nsqd lets."""
        return _KeepAlive(self, None if limit is None else within("limit", limit, 0))

    def contain(self) -> AbstractAsyncContextManager[Message, bool]:
        """As ``async with message:``, but an exception ends with the block: it is logged, the message requeued."""
        return _Contain(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.settle(error)
        return isinstance(error, Control)  # which has been obeyed, and is no error

    def settle(self, error: BaseException | None) -> None:
        """Gives the answer that follows from how the work on it ended, unless one was given."""
        if self.state is HELD:
            if error is None:
                self.state = FINISHED
                self.source.finished(self.id_bytes)
            elif isinstance(error, Control):
                self._obey(error)
            elif isinstance(error, Exception):
                self.source.failed(self, error, None)
            else:  # cancelled, or the process is ending: nothing is wrong with the message
                self.source.hand_back(self)
        elif self.state is LOST:
            done = error is None or isinstance(error, Drop)
            self.source.too_late(self, FINISHED if done else REQUEUED)

    def _obey(self, control: Control) -> None:
        if isinstance(control, Retry):
            if control.backoff:
                self.source.failed(self, control, control.after)
            else:
                self.source.requeue(self, control.after)
        elif isinstance(control, DeadLetter):
            self.source.dead(self, control)
        else:  # Drop
            self.finish()

    def __repr__(self) -> str:
        return f"<Message {self.id} {self.state} attempts={self.attempts} node={self.node}>"


class _KeepAlive(AbstractAsyncContextManager[None, None]):
    def __init__(self, message: Message, limit: float | None) -> None:
        self._message = message
        self._limit = limit

    async def __aenter__(self) -> None:
        self._message.source.keep(self, self._message, self._limit)

    async def __aexit__(self, *exc: object) -> None:
        self._message.source.let_go(self)


class _Contain(AbstractAsyncContextManager[Message, bool]):
    def __init__(self, message: Message) -> None:
        self._message = message

    async def __aenter__(self) -> Message:
        return self._message

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        message = self._message
        if isinstance(error, Exception) and not isinstance(error, Control):
            log.error("handling message %s failed", message.id, exc_info=error, extra=message_facts(message))
        try:
            message.settle(error)
        except ConfigError as e:  # such as a Retry with a delay that nsqd does not take
            facts = message_facts(message)
            log.error("message %s can't be answered as was decided", message.id, exc_info=e, extra=facts)
            message.settle(e)
        return isinstance(error, Exception)


def message_facts(message: Message) -> dict[str, object]:
    """What a log record says about a message."""
    return {
        "topic": message.topic,
        "channel": message.channel,
        "node": message.node,
        "message_id": message.id,
        "attempts": message.attempts,
    }
