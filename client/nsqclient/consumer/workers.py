"""Runs handlers: several at a time, each failure kept to its message."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from nsqclient.consumer.message import Message
from nsqclient.errors import Control
from nsqclient.lifecycle import Lifecycle

log = logging.getLogger(__name__)

Handler = Callable[[Message], Awaitable[object]]
"""Called with each message; what it returns is ignored."""

CANCEL_TIMEOUT = 0.5
"""Seconds that cancelled handlers are waited for."""


class Workers:
    """The handlers of one consumer. ``take`` gives the next message, or None at the end."""

    def __init__(self, take: Callable[[], Awaitable[Message | None]], life: Lifecycle) -> None:
        self._take = take
        self._life = life
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, handler: Handler, concurrency: int) -> None:
        """Until nothing comes any more, and the handlers that run have ended or were cancelled.

        A task for each of ``concurrency`` takes messages in turn, rather than one for each message.
        """
        loop = asyncio.get_running_loop()
        workers = {
            loop.create_task(self._work(handler), name=f"nsqclient handler {n}") for n in range(concurrency)
        }
        self._tasks |= workers
        try:
            await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            await self._end(workers)
            self._tasks -= workers
        for worker in workers:
            if worker.done() and not worker.cancelled():
                worker.result()
        if self._life.failed:
            raise self._life.closed()

    async def cancel(self) -> None:
        """Cancels all handlers; their messages are requeued."""
        await self._end(self._tasks)

    async def _end(self, workers: set[asyncio.Task[None]]) -> None:
        running = {worker for worker in workers if not worker.done()}
        for worker in running:
            worker.cancel()
        if running:
            _, stubborn = await asyncio.wait(running, timeout=CANCEL_TIMEOUT)
            for worker in stubborn:
                log.error("a handler does not end although it was cancelled: %r", worker)

    async def _work(self, handler: Handler) -> None:
        me = asyncio.current_task()
        assert me is not None
        while (message := await self._take()) is not None:
            try:
                await handler(message)
            except Control as e:
                message.settle(e)
            except Exception as e:  # noqa: BLE001 - logged below; a handler may raise anything
                self._failed(message, e)
            except asyncio.CancelledError as e:
                if me.cancelling():
                    message.settle(e)
                    raise
                # nobody cancelled the handler: something it awaited was, which is its failure
                self._failed(message, RuntimeError("the handler awaited something that was cancelled"))
            except BaseException as e:
                message.settle(e)
                raise
            else:
                message.settle(None)
                if me.cancelling():
                    log.error("the handler of message %s swallowed its cancellation", message.id)
                    raise asyncio.CancelledError

    @staticmethod
    def _failed(message: Message, error: Exception) -> None:
        log.error("handling message %s of topic %s failed", message.id, message.topic, exc_info=error)
        message.settle(error)
