"""A message for a handler that runs in a thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from nsqclient.consumer.message import Message, Settled, Source, State
from nsqclient.durations import Seconds

CALL_TIMEOUT = 60.0
"""Seconds for the event loop to take an answer; it is closed, or blocked, when it takes longer."""


class ThreadMessage(Message):
    """The same message; its answers are given by the event loop, which this waits for.

    A plain function may also return what a coroutine function made, which then runs in the event loop: there
    answers act at once, as ever.
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
    def renewed_at(self) -> float:  # type: ignore[override]
        """That of the message."""
        return self._message.renewed_at

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

    def keep_alive(self, *, limit: Seconds | None = None) -> AbstractAsyncContextManager[None, None]:
        """That of the message."""
        return self._message.keep_alive(limit=limit)

    def _in_loop(self, call: Callable[[], Any]) -> Any:
        if _running_loop() is self._loop:
            return call()
        done: concurrent.futures.Future[Any] = concurrent.futures.Future()

        def run() -> None:
            try:
                done.set_result(call())
            except Exception as e:  # noqa: BLE001 - raised in the thread
                done.set_exception(e)

        self._loop.call_soon_threadsafe(run)
        return done.result(CALL_TIMEOUT)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """That of the calling thread; handlers' threads have none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
