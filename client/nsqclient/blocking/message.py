"""A message as threads see it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import nsqclient
from nsqclient.blocking.portal import Portal
from nsqclient.consumer.message import State
from nsqclient.durations import Seconds
from nsqclient.errors import AlreadySettled, ConfigError, Control, DeadLetter, Drop, Retry

T = TypeVar("T")


class Message:
    """As :class:`nsqclient.Message`; any thread may answer it, and ``with message:`` does so by itself."""

    __slots__ = ("_answer", "_lock", "_portal", "_raw")

    def __init__(self, raw: nsqclient.Message, portal: Portal) -> None:
        self._raw = raw
        self._portal = portal
        self._lock = threading.Lock()
        self._answer: State | None = None

    @property
    def id(self) -> str:
        """16 hexadecimal digits; the same for each delivery from one nsqd."""
        return self._raw.id

    @property
    def body(self) -> bytes:
        """What was published."""
        return self._raw.body

    @property
    def attempts(self) -> int:
        """Deliveries so far, this one included."""
        return self._raw.attempts

    @property
    def timestamp(self) -> datetime:
        """When it was published, to the microsecond, in UTC."""
        return self._raw.timestamp

    @property
    def timestamp_ns(self) -> int:
        """When it was published: Unix nanoseconds."""
        return self._raw.timestamp_ns

    @property
    def topic(self) -> str:
        """The topic it was published to."""
        return self._raw.topic

    @property
    def channel(self) -> str:
        """The channel it was received from."""
        return self._raw.channel

    @property
    def node(self) -> str:
        """The address of the nsqd that sent it."""
        return self._raw.node

    @property
    def headers(self) -> Mapping[str, str]:
        """Those of its envelope, for a consumer with ``headers="auto"``; else there are none."""
        return self._raw.headers

    @property
    def key(self) -> str | None:
        """What it was published with as ``key``; None when there was none, or headers are not read."""
        return self._raw.key

    def json(self) -> Any:
        """The body as JSON; raises CodecError when it is none."""
        return self._raw.json()

    def decode(self, as_type: type[T]) -> T:
        """The body as a value of ``as_type``, by the consumer's codec."""
        return self._raw.decode(as_type)

    @property
    def state(self) -> State:
        """``held`` until it is answered; ``lost`` when nsqd took it back."""
        return self._answer or self._raw.state

    def finish(self) -> None:
        """The message is done; raises AlreadySettled if it was requeued before."""
        if self._first("finished"):
            self._post(self._raw.finish)

    def requeue(self, delay: Seconds | None = None, *, backoff: bool = True) -> None:
        """As :meth:`nsqclient.Message.requeue`; raises AlreadySettled and DelayOutOfRange."""
        if self._first("requeued"):
            self._answered(lambda: self._raw.requeue(delay, backoff=backoff))

    def touch(self) -> None:
        """Asks nsqd for the whole message timeout once more."""
        self._post(self._raw.touch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.settle(error)
        return isinstance(error, Control)  # which has been obeyed, and is no error

    def settle(self, error: BaseException | None) -> None:
        """Gives the answer that follows from how the work on it ended, unless one was given."""
        with self._lock:
            if self._answer is not None:
                return
            done = error is None or isinstance(error, Drop | DeadLetter)
            self._answer = "finished" if done else "requeued"
        if isinstance(error, Retry):
            self._answered(lambda: self._raw.settle(error))
        else:
            self._post(lambda: self._raw.settle(error))

    def _first(self, answer: State) -> bool:
        """Whether this is the first answer; raises AlreadySettled after a different one."""
        with self._lock:
            before, self._answer = self._answer, self._answer or answer
        if before is not None and before != answer:
            raise AlreadySettled(f"message {self.id} was {before}, and can't be {answer}")
        return before is None

    def _answered(self, action: Callable[[], object]) -> None:
        """An answer whose delay may be wrong: then the message is still to be answered."""
        try:
            self._portal.run(action)
        except ConfigError:
            self._answer = None
            raise

    def _post(self, action: Callable[[], object]) -> None:
        if not self._portal.foreign:  # in a child process: the parent's message, and the parent's answer
            self._portal.post(action)

    def __repr__(self) -> str:
        return f"<Message {self.id} {self.state} attempts={self.attempts} node={self.node}>"
