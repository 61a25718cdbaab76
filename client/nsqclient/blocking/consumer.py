"""Receives messages in scripts and threads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

import nsqclient
from nsqclient.blocking.message import Message
from nsqclient.blocking.mirror import constructed_like
from nsqclient.blocking.shell import Shell
from nsqclient.consumer.consumer import ConsumerStats
from nsqclient.consumer.health import Health
from nsqclient.durations import Seconds
from nsqclient.errors import Closed, ConfigError, Control

log = logging.getLogger(__name__)


class Consumer:
    """As :class:`nsqclient.Consumer`, for code without an event loop; use it with ``with``.

    ::

        with blocking.Consumer("orders", "billing", "127.0.0.1:4150") as consumer:
            for message in consumer:
                with message:  # finished when the block ends, requeued when it raises
                    bill(message.body)

    It takes the same arguments, keeps the same promises and raises the same errors. Several threads may
    iterate over one consumer: each message goes to one of them. Heartbeats are answered, and back-off and
    hand-back work, in a thread of its own.

    A consumer belongs to the process that opened it; in a child of ``fork()`` its methods raise Closed. One
    that is still open when the interpreter exits is closed then.
    """

    @constructed_like(nsqclient.Consumer)
    def __init__(self, *args: Any, **settings: Any) -> None:
        """Nothing connects here, and no thread starts."""
        self._consumer = nsqclient.Consumer(*args, **settings)
        self._shell = Shell("consumer")

    # ---- receiving

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message:
        if self._shell.closed:
            raise StopIteration
        portal = self._shell.get()
        try:
            return Message(portal.call(lambda: self._next(), _hand_back), portal)
        except _NoMore:
            raise StopIteration from None
        except Closed:
            if self._shell.closed:  # by another thread: this loop is over as well
                raise StopIteration from None
            raise

    async def _next(self) -> nsqclient.Message:
        try:
            return await anext(self._consumer)
        except StopAsyncIteration:
            raise _NoMore from None

    def get(self, timeout: Seconds | None = None) -> Message:
        """The next message; raises TimeoutError after ``timeout`` seconds, and Closed."""
        portal = self._shell.get()
        return Message(portal.call(lambda: self._consumer.get(timeout), _hand_back), portal)

    def run(self, handler: Callable[[Message], object], *, threads: int = 1) -> None:
        """Handles messages in so many threads until the consumer is stopped.

        A message is finished when its handler returns, unless the handler answered it; when it raises, the
        error is logged and the message fails; ``Retry``, ``Drop`` and ``DeadLetter`` decide otherwise. Ctrl-C stops the consumer, waits for the handlers that run,
        and raises KeyboardInterrupt.
        """
        if threads < 1:
            raise ConfigError(f"threads is {threads}, want at least 1")
        self._shell.get()
        failures: list[BaseException] = []
        workers = [
            threading.Thread(target=self._work, args=(handler, failures), name=f"nsqclient handler {n}")
            for n in range(threads)
        ]
        for worker in workers:
            worker.start()
        try:
            for worker in workers:
                worker.join()
        except BaseException:
            self.stop()
            for worker in workers:
                worker.join()
            raise
        if failures:
            raise failures[0]

    def _work(self, handler: Callable[[Message], object], failures: list[BaseException]) -> None:
        try:
            for message in self:
                try:
                    handler(message)
                except Exception as e:  # noqa: BLE001 - logged; a handler may raise anything
                    _fail(message, e)
                except BaseException as e:
                    message.settle(e)
                    raise
                else:
                    message.settle(None)
        except BaseException as e:  # noqa: BLE001 - raised by run()
            failures.append(e)
            self.stop()

    # ---- control

    def pause(self) -> None:
        """Stops deliveries; what was received can still be worked on."""
        self._shell.get().run(self._consumer.pause)

    def resume(self) -> None:
        """Ends a :meth:`pause`."""
        self._shell.get().run(self._consumer.resume)

    def set_max_in_flight(self, count: int) -> None:
        """Changes the cap at once; 0 stops deliveries."""
        self._shell.get().run(lambda: self._consumer.set_max_in_flight(count))

    def rate_limit(self, per_second: float | None) -> None:
        """Takes at most so many messages a second from now on; None ends that."""
        self._shell.get().run(lambda: self._consumer.rate_limit(per_second))

    @property
    def stats(self) -> ConsumerStats:
        """Counts, as of now."""
        return self._shell.get().run(lambda: self._consumer.stats)

    def health(self) -> Health:
        """Whether it lives and receives, for probes; as of now."""
        return self._shell.get().run(self._consumer.health)

    # ---- its life

    def open(self) -> Self:
        """Starts it, as entering the block does; raises what entering the asynchronous one would."""
        portal = self._shell.open(self)
        try:
            portal.call(self._consumer.__aenter__)
        except BaseException:
            self._end(lambda: self._consumer.close(0))
            raise
        return self

    def stop(self) -> None:
        """Begins the end: deliveries stop, and loops over it end once what they have is done.

        Any thread may call it, and signal handlers too: it does not wait.
        """
        portal = self._shell.portal
        if portal is not None and not portal.foreign:
            portal.post(self._consumer.stop)

    def close(self, drain: Seconds | None = None) -> None:
        """Ends in order, as leaving the block does; twice is fine."""
        self._end(lambda: self._consumer.close(drain))

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(lambda: self._consumer.__aexit__(kind, error, trace))

    def _end(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        portal = self._shell.take(self)
        if portal is None:
            return
        try:
            portal.call(work)
        finally:
            portal.stop()


def _fail(message: Message, error: Exception) -> None:
    """Answers as follows from what the handler raised; where that can't be done, as for a failure."""
    if not isinstance(error, Control):
        log.error("handling message %s of topic %s failed", message.id, message.topic, exc_info=error)
    try:
        message.settle(error)
    except ConfigError as e:  # such as a Retry with a delay that nsqd does not take
        log.error("message %s can't be answered as was decided", message.id, exc_info=e)
        message.settle(e)


class _NoMore(Exception):
    """The iteration is over; StopAsyncIteration itself can't be raised by a coroutine."""


def _hand_back(message: nsqclient.Message) -> None:
    """Nobody takes it: whoever waited for it was interrupted."""
    message.requeue(0, backoff=False)
