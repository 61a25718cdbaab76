"""What a handler gets: a message, and the ways to answer it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeVar

from nsqclient.consumer.backoff import Signal
from nsqclient.content import codecs
from nsqclient.content.codecs import Codec
from nsqclient.content.envelope import NO_HEADERS
from nsqclient.durations import Seconds
from nsqclient.errors import AlreadySettled, Control, DeadLetter, Retry
from nsqcore.wire.frames import MESSAGE_HEAD, MESSAGE_HEAD_SIZE

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
    codec: Codec
    """Decodes bodies."""

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

    def touched(self, id_bytes: bytes) -> None:
        """The message's time starts again."""

    def too_late(self) -> None:
        """An answer was given to a message that is lost."""


class Message:
    """One delivery of a message; it must be answered with :meth:`finish` or :meth:`requeue`.

    ``async with message:`` does so by itself: it finishes the message when the block ends, and requeues
    it when the block raises (the exception goes on) or is cancelled. Raising :class:`Retry`, :class:`Drop` or
    :class:`DeadLetter` inside it gives that answer, and ends the block without an exception.

    All answers act at once and never block. An answer to a message that is ``lost`` does nothing: nsqd
    takes answers on the connection of the delivery alone, and delivers the message again.
    """

    __slots__ = ("attempts", "body", "given_up", "id_bytes", "received_at", "source", "state", "timestamp_ns")

    timestamp_ns: int
    """When it was published: Unix nanoseconds."""
    attempts: int
    """Deliveries so far, this one included."""
    id_bytes: bytes
    """The ID as it is on the wire."""

    def __init__(self, source: Source, data: bytes, received_at: float) -> None:
        """``data`` is a message frame's; raises struct.error when it is too short."""
        self.timestamp_ns, self.attempts, self.id_bytes = MESSAGE_HEAD.unpack_from(data)
        self.body = data[MESSAGE_HEAD_SIZE:]
        self.received_at = received_at
        """When it was received, on the event loop's clock (seconds)."""
        self.source = source
        self.state: State = HELD
        """``held`` until it is answered; ``lost`` when its connection ended or nsqd took it back.
        The library sets it."""
        self.given_up = False
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
        """What came along; nothing unless the consumer reads headers (``headers="auto"``)."""
        return NO_HEADERS

    @property
    def key(self) -> str | None:
        """What names the message itself, whatever its node and ID; None when no header says it."""
        return None

    def decode(self, as_type: type[T]) -> T:
        """The body as a value of that type, by the consumer's codec. Raises CodecError."""
        return self.source.codec.decode(self.body, as_type)

    def json(self) -> Any:
        """The body as JSON. Raises CodecError."""
        return codecs.json.decode(self.body, object)

    def finish(self) -> None:
        """The message is done; raises AlreadySettled if it was requeued before."""
        if self.state is HELD:
            self.state = FINISHED
            self.source.finished(self.id_bytes)
        elif self.state is LOST:
            self.source.too_late()
        elif self.state is not FINISHED:
            raise AlreadySettled(f"message {self.id} was requeued, and can't be finished")

    def requeue(self, delay: Seconds | None = None, *, backoff: bool = True) -> None:
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
            self.source.too_late()
        elif self.state is not REQUEUED and not self.given_up:
            raise AlreadySettled(f"message {self.id} was finished, and can't be requeued")

    def touch(self) -> None:
        """Asks nsqd for the whole message timeout once more; nothing happens when it is answered."""
        if self.state is HELD:
            self.source.touched(self.id_bytes)
        elif self.state is LOST:
            self.source.too_late()

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
            self.source.too_late()

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
