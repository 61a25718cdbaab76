"""Deliveries that middleware stands before: each is a task, which reports as a plain one would."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, Protocol

from nsqclient.content.outgoing import Outgoing
from nsqclient.errors import Closed, NsqError
from nsqclient.producer.counts import Counts
from nsqclient.producer.delivery import Receipt
from nsqclient.producer.reports import Report, Ring

Send = Callable[[Outgoing], Awaitable[Receipt]]
"""Publishes it and waits for the outcome."""


SendRelayed = Callable[[Outgoing, Callable[[], None]], Awaitable[Receipt]]
"""The same; and calls back once the message was taken."""

CANCEL_TIMEOUT = 1.0
"""Seconds that middleware may take to end when it is cancelled."""


class AroundPublish(Protocol):
    """Middleware of a producer: does something before, after, or instead of ``call_next(outgoing)``."""

    def __call__(self, call_next: Send, outgoing: Outgoing, /) -> Awaitable[Receipt]:
        """Gives the receipt of ``call_next``, or one of its own; what it raises is raised to the caller."""


def wrapped(around: Sequence[AroundPublish], send: Send) -> Send:
    """``send`` behind all of ``around``, the first outermost."""
    for layer in reversed(around):
        send = _Layer(layer, send)
    return send


class _Layer:
    __slots__ = ("_inner", "_layer")

    def __init__(self, layer: AroundPublish, inner: Send) -> None:
        self._layer = layer
        self._inner = inner

    def __call__(self, outgoing: Outgoing) -> Awaitable[Receipt]:
        return self._layer(self._inner, outgoing)


class Relayed:
    """A delivery on its way through middleware."""

    def __init__(self, outgoing: Outgoing) -> None:
        self.topic: str = outgoing.topic
        self.note: object = outgoing.note
        self.outgoing = outgoing
        self.awaited: bool = False
        self.admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the message was taken, or can't be any more."""
        self.task: asyncio.Task[Receipt] | None = None

    @property
    def done(self) -> bool:
        """Whether awaiting it would not wait."""
        return self.task is not None and self.task.done()

    def __await__(self) -> Generator[Any, None, Receipt]:
        assert self.task is not None
        self.awaited = True
        return (yield from asyncio.shield(self.task).__await__())

    def admit(self) -> None:
        """The message was taken."""
        if not self.admitted.done():
            self.admitted.set_result(None)

    async def taken(self) -> None:
        """Waits until the message is taken; raises why it is not."""
        assert self.task is not None
        self.awaited = True  # an error until then is raised here, and not reported
        try:
            await self.admitted
        except asyncio.CancelledError:
            self.task.cancel()
            raise
        if self.task.done():
            self.task.result()
        self.awaited = False


class Relays:
    """Those of a producer that are under way."""

    def __init__(self, limit: int, counts: Counts, ring: Ring, reports: str) -> None:
        self._limit = limit
        self._counts = counts
        self._ring = ring
        self._reports = reports
        self._running: set[asyncio.Task[Receipt]] = set()
        self._waiting: asyncio.Task[object] | None = None

    @property
    def full(self) -> bool:
        """Whether there are as many as may be."""
        return len(self._running) >= self._limit

    def start(self, outgoing: Outgoing, around: Sequence[AroundPublish], send: SendRelayed) -> Relayed:
        """Begins to send it through ``around``."""
        relayed = Relayed(outgoing)

        async def run() -> Receipt:
            return await wrapped(around, lambda changed: send(changed, relayed.admit))(outgoing)

        relayed.task = asyncio.get_running_loop().create_task(run(), name="nsqclient producer middleware")
        self._running.add(relayed.task)
        relayed.task.add_done_callback(lambda task: self._ended(relayed, task))
        return relayed

    def _ended(self, relayed: Relayed, task: asyncio.Task[Receipt]) -> None:
        self._running.discard(task)
        error: BaseException | None
        if task.cancelled():
            error = Closed("the producer was closed before its middleware had ended")
        else:
            error = task.exception()
        refused = error is not None and not relayed.admitted.done() and relayed.awaited
        relayed.admit()
        if refused:
            return  # submit raises it
        if error is not None and not relayed.awaited:
            self._counts.unheard += 1
        if self._reports == "all" or (self._reports == "errors" and error is not None):
            receipt = None if error is not None else task.result()
            said = error if error is None or isinstance(error, NsqError) else _foreign(error)
            self._ring.add(Report(relayed.topic, relayed.note, relayed.outgoing.key, receipt, said))

    async def ended(self) -> None:
        """Until those that are under way now have ended."""
        if self._running:
            await asyncio.wait(self._running)

    async def wait(self, limit: float) -> None:
        """Until all have ended, at most ``limit`` seconds."""
        if not self._running:
            return
        self._waiting = asyncio.create_task(asyncio.wait(self._running, timeout=limit))
        await asyncio.wait([self._waiting])

    def hurry(self) -> None:
        """Waits no longer."""
        if self._waiting is not None:
            self._waiting.cancel()

    async def cancel(self) -> None:
        """Ends those that have not."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=CANCEL_TIMEOUT)


def _foreign(error: BaseException) -> NsqError:
    """An error of the middleware's own, for a report."""
    wrapping = NsqError(f"the producer's middleware failed: {error!r}")
    wrapping.__cause__ = error
    return wrapping
