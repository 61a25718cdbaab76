"""A message for a handler that runs in a thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Mapping
from typing import Any

from nsqclient.consumer.message import Message, Settled, Source, State
from nsqclient.durations import Seconds

CALL_TIMEOUT = 60.0
"""Seconds for the event loop to take an answer; it is closed, or blocked, when it takes longer."""


class ThreadMessage(Message):
    """The same message; its answers are given by the event loop, which this waits for.

    Not for use in the event loop itself, and not in ``async with``.
    """

    __slots__ = ("_loop", "_message")

    def __init__(self, message: Message, loop: asyncio.AbstractEventLoop) -> None:
        self._message = message
        self._loop = loop
        self.timestamp_ns: int = message.timestamp_ns
        self.attempts: int = message.attempts
        self.id_bytes: bytes = message.id_bytes
        self.body: bytes = message.body
        self.received_at: float = message.received_at
        self.source: Source = message.source

    @property
    def state(self) -> State:  # type: ignore[override]
        """That of the message; it may change at any moment."""
        return self._message.state

    @property
    def given_up(self) -> bool:  # type: ignore[override]
        """That of the message."""
        return self._message.given_up

    @property
    def headers(self) -> Mapping[str, str]:
        """Those of the message."""
        return self._message.headers

    @property
    def key(self) -> str | None:
        """That of the message."""
        return self._message.key

    def finish(self) -> Settled:
        """As ever; raises RuntimeError when the event loop is closed."""
        return self._in_loop(self._message.finish)  # type: ignore[no-any-return]

    def requeue(self, delay: Seconds | None = None, *, backoff: bool = True) -> Settled:
        """As ever; raises RuntimeError when the event loop is closed."""
        return self._in_loop(lambda: self._message.requeue(delay, backoff=backoff))  # type: ignore[no-any-return]

    def touch(self) -> Settled:
        """As ever; raises RuntimeError when the event loop is closed."""
        return self._in_loop(self._message.touch)  # type: ignore[no-any-return]

    def settle(self, error: BaseException | None) -> None:
        """As ever; raises RuntimeError when the event loop is closed."""
        self._in_loop(lambda: self._message.settle(error))

    def time_left(self, *, hard: bool = False) -> float:
        """As ever; raises RuntimeError when the event loop is closed."""
        return self._in_loop(lambda: self._message.time_left(hard=hard))  # type: ignore[no-any-return]

    def _in_loop(self, call: Callable[[], Any]) -> Any:
        done: concurrent.futures.Future[Any] = concurrent.futures.Future()

        def run() -> None:
            try:
                done.set_result(call())
            except Exception as e:  # noqa: BLE001 - raised in the thread
                done.set_exception(e)

        self._loop.call_soon_threadsafe(run)
        return done.result(CALL_TIMEOUT)
