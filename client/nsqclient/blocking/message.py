"""A message as threads see it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Self

import nsqclient
from nsqclient.blocking.portal import Portal
from nsqclient.consumer.message import State
from nsqclient.durations import Seconds
from nsqclient.errors import AlreadySettled


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
            try:
                self._portal.run(lambda: self._raw.requeue(delay, backoff=backoff))
            except ValueError:  # of the delay: it is still to be answered
                self._answer = None
                raise

    def touch(self) -> None:
        """Asks nsqd for the whole message timeout once more."""
        self._post(self._raw.touch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.settle(error)

    def settle(self, error: BaseException | None) -> None:
        """Gives the answer that follows from how the work on it ended, unless one was given."""
        with self._lock:
            if self._answer is not None:
                return
            self._answer = "finished" if error is None else "requeued"
        self._post(lambda: self._raw.settle(error))

    def _first(self, answer: State) -> bool:
        """Whether this is the first answer; raises AlreadySettled after a different one."""
        with self._lock:
            before, self._answer = self._answer, self._answer or answer
        if before is not None and before != answer:
            raise AlreadySettled(f"message {self.id} was {before}, and can't be {answer}")
        return before is None

    def _post(self, action: Callable[[], object]) -> None:
        if not self._portal.foreign:  # in a child process: the parent's message, and the parent's answer
            self._portal.post(action)

    def __repr__(self) -> str:
        return f"<Message {self.id} {self.state} attempts={self.attempts} node={self.node}>"
