"""Runs handlers: several at a time, as many as are wanted at present."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from math import inf
from typing import Any, Generic

from nsqclient.checks import check_timeout
from nsqclient.consumer.watch import Limited, Watch
from nsqclient.consumer.worker import Around, Handler, Kind, W, Worker
from nsqclient.durations import Seconds
from nsqclient.errors import ConfigError
from nsqclient.lifecycle import Lifecycle

log = logging.getLogger(__name__)

CANCEL_TIMEOUT = 0.5
"""Seconds that cancelled handlers are waited for."""


class Crew(Generic[W]):
    """Workers with one handler."""

    def __init__(
        self,
        workers: Workers,
        take: Callable[[], Awaitable[W | None]],
        kind: Kind[W],
        handler: Handler[W],
        concurrency: int,
        *,
        around: Sequence[Around[W]] = (),
        timeout: Seconds | None = None,
        each: int = 1,
        take_now: Callable[[], W | None] | None = None,
    ) -> None:
        """A handler that takes longer than ``timeout`` seconds fails. ``each`` is how many messages it may
        handle at a time. For ``take`` and ``take_now`` see :class:`Worker`. Raises ConfigError."""
        self._concurrency = check_concurrency(concurrency)
        self._of = workers
        self._take = take
        self._take_now = take_now
        self._kind = kind
        self._handler = check_handler(handler)
        self._around = around
        self._timeout = inf if timeout is None else check_timeout(timeout)
        self._each = each
        self._watch = Watch(self._limited)
        self._workers: dict[asyncio.Task[None], Worker[W]] = {}
        self._ended: asyncio.Future[None] | None = None
        self._context: Context | None = None
        """That of :meth:`run`; workers that are added later must not inherit from whoever asked for them."""
        self._count = 0
        self._cancelled = False

    async def run(self) -> None:
        """Until nothing comes any more, and the handlers that run have ended or were cancelled.

        A task for each of ``concurrency`` takes messages in turn, rather than one for each message.
        """
        self._ended = asyncio.get_running_loop().create_future()
        self._context = copy_context()
        self._of.crews.add(self)
        self._of.changed()
        try:
            self._adjust()
            await self._ended
        finally:
            self._ended.cancel()
            await self.cancel()
            self._watch.stop()
            self._of.crews.discard(self)
            self._of.changed()
        if self._of.life.failed:
            raise self._of.life.closed()

    def set_concurrency(self, count: int) -> None:
        """Changes it at once; of workers that are too many the idle ones end first. Raises ConfigError."""
        self._concurrency = check_concurrency(count)
        if self._ended is not None and not self._ended.done():
            self._adjust()
            self._of.changed()

    @property
    def width(self) -> int:
        """How many messages may be handled at a time."""
        return self._concurrency * self._each

    async def cancel(self) -> None:
        """Cancels all handlers; their messages are requeued."""
        self._cancelled = True
        running = {task for task in self._workers if not task.done()}
        for task in running:
            task.cancel()
        if running:
            _, stubborn = await asyncio.wait(running, timeout=CANCEL_TIMEOUT)
            for task in stubborn:
                log.error("a handler does not end although it was cancelled: %r", task)

    def _adjust(self) -> None:
        staying = [worker for worker in self._workers.values() if not worker.leaving]
        for worker in sorted(staying, key=lambda worker: worker.idle)[self._concurrency :]:
            worker.leaving = True
            if worker.idle and worker.task is not None:
                worker.task.cancel()
        loop = asyncio.get_running_loop()
        for _ in range(self._concurrency - len(staying)):
            self._count += 1
            name = f"nsqclient handler {self._count}"
            worker = Worker(
                self._take,
                self._kind,
                self._handler,
                self._around,
                self._timeout,
                self._watch,
                name,
                self._take_now,
            )
            context = None if self._context is None else self._context.copy()
            worker.task = loop.create_task(worker.run(), name=name, context=context)
            self._workers[worker.task] = worker
            worker.task.add_done_callback(self._worker_ended)

    def _worker_ended(self, task: asyncio.Task[None]) -> None:
        worker = self._workers.pop(task)
        error = None if task.cancelled() else task.exception()
        assert self._ended is not None
        if self._ended.done():
            return
        if error is not None:
            self._ended.set_exception(error)
        elif task.cancelled() and not (worker.leaving or self._cancelled):
            self._adjust()  # somebody cancelled the task that its handler ran in: that is no end of handling
        elif not self._workers:
            self._ended.set_result(None)

    def _limited(self) -> list[Limited]:
        return list(self._workers.values())


class Workers:
    """The crews of one consumer."""

    def __init__(self, life: Lifecycle, wanted: Callable[[int], None]) -> None:
        """``wanted`` is told how many messages may be handled at a time, whenever that changes."""
        self.life = life
        self.crews: set[Crew[Any]] = set()
        self._wanted = wanted

    def changed(self) -> None:
        """There are more handlers, or fewer."""
        self._wanted(sum(crew.width for crew in self.crews))

    @property
    def idle(self) -> bool:
        """Whether no handler runs, be it for a message that was answered."""
        return not self.crews

    async def cancel(self) -> None:
        """Cancels all handlers; their messages are requeued."""
        await asyncio.gather(*(crew.cancel() for crew in self.crews))


def check_handler(handler: Handler[W]) -> Handler[W]:
    """Raises ConfigError unless it can be called with one argument: else every message would fail."""
    if not callable(handler):
        raise ConfigError(f"the handler is {handler!r}, want a function to be called with each message")
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):  # of some that are written in C nobody knows
        return handler
    try:
        signature.bind(None)
    except TypeError as e:
        raise ConfigError(f"the handler {handler!r} can't be called with one argument: {e}") from None
    return handler


def check_concurrency(concurrency: object) -> int:
    """Raises ConfigError unless it is a positive whole number."""
    if not isinstance(concurrency, int) or concurrency < 1:
        raise ConfigError(f"concurrency is {concurrency}, want at least 1")
    return concurrency
