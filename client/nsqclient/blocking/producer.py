"""Publishes from scripts and threads."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from types import TracebackType
from typing import Any, Self

import nsqclient
from nsqclient.blocking.mirror import constructed_like, future_like, like
from nsqclient.blocking.portal import Portal
from nsqclient.blocking.shell import Shell
from nsqclient.durations import Seconds, to_seconds
from nsqclient.errors import Backlogged
from nsqclient.producer.counts import ProducerStats

log = logging.getLogger(__name__)

MOST_SUBMITTED = 10_000
"""Submitted messages without an outcome; :meth:`Producer.submit` waits for room beyond."""


class Producer:
    """As :class:`nsqclient.Producer`, for code without an event loop; use it with ``with``.

    ::

        with blocking.Producer("127.0.0.1:4150") as producer:
            producer.publish("orders", b"42")

    It takes the same arguments and raises the same errors. Any number of threads may use one producer:
    their publishes share its connections. It has a thread of its own, so nsqd's heartbeats are answered
    whatever the program does.

    After ``fork()`` the child's first publish opens connections of its own; what the parent had pending
    stays the parent's. A producer that is still open when the interpreter exits is closed then, which
    waits for what is pending as leaving the block does.
    """

    @constructed_like(nsqclient.Producer)
    def __init__(self, *args: Any, **settings: Any) -> None:
        """Nothing connects here, and no thread starts."""
        self._make: Callable[[], nsqclient.Producer] = lambda: nsqclient.Producer(*args, **settings)
        self._producer = self._make()
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._shell = Shell("producer")
        self._room = threading.BoundedSemaphore(MOST_SUBMITTED)
        self._submitted: set[Future[Any]] = set()
        self._failed = 0

    # ---- publishing

    @like(nsqclient.Producer.publish)
    def publish(self, *args: Any, **settings: Any) -> Any:
        """Publishes one message and waits until a nsqd has it, as :meth:`nsqclient.Producer.publish` does.

        Ctrl-C meanwhile raises KeyboardInterrupt; the message is stored or not, as after a cancellation.
        """
        portal = self._portal()
        return portal.call(lambda: self._producer.publish(*args, **settings))

    @like(nsqclient.Producer.publish_many)
    def publish_many(self, *args: Any, **settings: Any) -> Any:
        """Publishes several messages in one command, as :meth:`nsqclient.Producer.publish_many` does."""
        portal = self._portal()
        return portal.call(lambda: self._producer.publish_many(*args, **settings))

    @future_like(nsqclient.Producer.publish)
    def submit(self, *args: Any, **settings: Any) -> Any:
        """Begins a publish, with the arguments of :meth:`publish`, and returns a future of its receipt.

        This is the way to have many under way from one thread: it costs a fraction of waiting for each.
        At most ``MOST_SUBMITTED`` are without an outcome; beyond that it waits for room as long as the
        publish may take, and then raises Backlogged; at once in a callback of such a future. The future's ``result()`` raises what publish would;
        failures nobody asks for are counted, and logged once at the end.
        """
        portal = self._portal()
        timeout = settings.get("timeout")
        if portal.here():  # a callback of a future: room comes only after it has returned
            taken = self._room.acquire(blocking=False)
        else:
            taken = self._room.acquire(timeout=None if timeout is None else max(0.0, to_seconds(timeout)))
        if not taken:
            raise Backlogged(f"{MOST_SUBMITTED} submitted messages wait for their outcome")
        try:
            future = portal.begin(lambda: self._producer.publish(*args, **settings)).future
        except BaseException:
            self._room.release()
            raise
        self._submitted.add(future)
        future.add_done_callback(self._over)
        return future

    def flush(self, timeout: Seconds | None = None) -> None:
        """Waits until all submitted messages have an outcome; raises TimeoutError after ``timeout`` seconds."""
        _, left = wait(list(self._submitted), None if timeout is None else to_seconds(timeout))
        if left:
            raise TimeoutError(f"{len(left)} submitted messages have no outcome yet")

    def _over(self, future: Future[Any]) -> None:
        self._submitted.discard(future)
        self._room.release()
        if future.cancelled() or future.exception() is not None:
            self._failed += 1

    @like(nsqclient.Producer.check)
    def check(self, *args: Any, **settings: Any) -> Any:
        """Connects, and returns what was agreed with each node, as :meth:`nsqclient.Producer.check` does."""
        portal = self._portal()
        return portal.call(lambda: self._producer.check(*args, **settings))

    # ---- its life

    @property
    def stats(self) -> ProducerStats:
        """Counts, as of now; of this process alone."""
        return self._producer.stats

    def open(self) -> Self:
        """Starts it, as entering the block does; raises Closed if it was open before."""
        self._start()
        return self

    def close(self, timeout: Seconds | None = None) -> None:
        """Takes no more and waits up to ``timeout`` (``close_timeout``) for what is pending; twice is fine."""
        self._close(lambda: self._producer.close(timeout))

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(lambda: self._producer.__aexit__(kind, error, trace))

    def _close(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self._pid != os.getpid():  # the parent's, and never used here
            return
        portal = self._shell.take(self)
        if portal is None:
            return
        try:
            portal.call(work)
        finally:
            portal.stop()
            if self._failed:
                log.warning("%d submitted messages were not published", self._failed)

    def _portal(self) -> Portal:
        if self._pid != os.getpid():
            self._adopt()
        return self._shell.get()

    def _adopt(self) -> None:
        """In a child process: starts anew, with nothing of the parent's."""
        with _adopting:
            if self._pid == os.getpid():
                return  # another thread was first
            was_open = self._shell.portal is not None
            self._producer = self._make()
            self._reset()
            if was_open:
                self._start()

    def _start(self) -> None:
        portal = self._shell.open(self)
        portal.call(self._producer.__aenter__)


def _new_lock() -> None:
    global _adopting
    _adopting = threading.Lock()


_adopting = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)
