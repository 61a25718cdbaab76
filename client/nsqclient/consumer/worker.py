"""One worker: takes messages in turn and has each handled, its failure kept to that message."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from functools import partial
from math import inf
from typing import Generic, Protocol, TypeVar

from nsqclient.consumer.context import in_context
from nsqclient.consumer.threads import HandlerThread, is_plain
from nsqclient.consumer.watch import Reason, Watch
from nsqclient.errors import Control, HandlerTimeout

log = logging.getLogger(__name__)


W = TypeVar("W")


class Kind(Protocol[W]):
    """What a worker has to know about what it handles: messages, or batches of them."""

    def settle(self, item: W, error: BaseException | None) -> None:
        """Answers as follows from how the handling ended, where it was not answered yet."""

    def lease_end(self, item: W) -> float:
        """When the handling must have ended, on the loop's clock, as nsqd will not wait longer."""

    def deadline(self, item: W) -> float:
        """When nobody wants the result any more, on the loop's clock."""

    def expire(self, item: W) -> None:
        """Answers as is to be done with what nobody wants any more."""

    def context(self, item: W) -> Context:
        """The context to handle it in; nobody else has it."""

    def facts(self, item: W) -> dict[str, object]:
        """What a log record says about it."""

    def for_thread(self, item: W, loop: asyncio.AbstractEventLoop) -> W:
        """The same, for a handler that runs in a thread."""


Handler = Callable[[W], object]
"""Called with each message. A coroutine function is awaited, a plain one runs in a thread; what it returns
is ignored."""
Around = Callable[[Callable[[W], Awaitable[object]], W], Awaitable[object]]
"""Called around each handler with ``call_next`` and the message; awaits ``call_next(message)``, mostly."""


class Worker(Generic[W]):
    """Handles one thing at a time."""

    def __init__(
        self,
        take: Callable[[], Awaitable[W | None]],
        kind: Kind[W],
        handler: Handler[W],
        around: Sequence[Around[W]],
        timeout: float,
        watch: Watch,
        name: str,
        take_now: Callable[[], W | None] | None = None,
    ) -> None:
        """``take`` gives the next, or None at the end; ``timeout`` is in seconds, ``inf`` for none.

        ``take_now`` may give it without waiting; its None says nothing.
        """
        self.leaving = False
        """Whether it is to end once it has done what it is at."""
        self.task: asyncio.Task[None] | None = None
        self._take = take
        self._take_now = take_now
        self._kind = kind
        self._timeout = timeout
        self._watch = watch
        self._thread = HandlerThread(name) if is_plain(handler) else None
        call: Callable[[W], Awaitable[object]] = handler  # type: ignore[assignment]
        if self._thread is not None:
            call = partial(self._call, self._thread, handler)
        for middleware in reversed(around):
            call = partial(middleware, call)
        self._handle = call
        self._item: W | None = None
        self._timeout_at = self._deadline = inf
        self._reason: Reason | None = None

    @property
    def idle(self) -> bool:
        """Whether it waits for something to handle."""
        return self._item is None and not self._in_thread

    @property
    def _in_thread(self) -> bool:
        """Whether its thread is at work, be it for a message that was answered meanwhile."""
        return self._thread is not None and self._thread.busy

    async def run(self) -> None:
        """Until nothing comes any more, or it is to leave."""
        me = self.task = asyncio.current_task()
        assert me is not None
        try:
            while not self.leaving:
                item = None if self._take_now is None else self._take_now()
                if item is None and (item := await self._take()) is None:
                    break
                await self._work(item, me)
                if self._thread is not None:
                    await self._thread.wait()  # past its limit: the message is answered, the thread goes on
        finally:
            if self._thread is not None:
                if self._in_thread:
                    log.warning("a handler still runs, and its thread is left behind")
                self._thread.end()

    async def _work(self, item: W, me: asyncio.Task[None]) -> None:
        self._begin(item)
        try:
            await in_context(self._kind.context(item), self._handle, item)
        except asyncio.CancelledError as e:
            if self._reason is not None and not me.uncancel():
                self._over(item, self._reason)
            elif me.cancelling():
                self._settle(item, e)
                raise
            else:
                # nobody cancelled the handler: something it awaited was, which is its failure
                self._failed(item, RuntimeError("the handler awaited something that was cancelled"))
        except Exception as e:  # noqa: BLE001 - logged; a handler may raise anything
            self._failed(item, e)
            self._end_of_cancelled(item, me)
        except BaseException as e:
            self._settle(item, e)
            raise
        else:
            self._settle(item, None)
            self._end_of_cancelled(item, me)
        finally:
            self._item = None

    def _begin(self, item: W) -> None:
        kind = self._kind
        self._item, self._reason = item, None
        until = kind.lease_end(item)
        self._deadline = deadline = kind.deadline(item)
        if deadline < until:
            until = deadline
        if self._timeout < inf:
            self._timeout_at = asyncio.get_running_loop().time() + self._timeout
            until = min(until, self._timeout_at)
        if until < self._watch.at:
            self._watch.look(until)

    async def _call(self, thread: HandlerThread, handler: Handler[W], item: W) -> object:
        loop = asyncio.get_running_loop()
        result = await thread.call(copy_context(), handler, self._kind.for_thread(item, loop))
        # a plain function may return what a coroutine function made
        return await result if isinstance(result, Awaitable) else result

    def _end_of_cancelled(self, item: W, me: asyncio.Task[None]) -> None:
        """The handler ended by itself; had it been cancelled, that must not be forgotten."""
        if not me.cancelling():
            return
        facts = self._kind.facts(item)
        log.error("the handler of %s swallowed its cancellation", facts["what"], extra=facts)
        if self._reason is None or me.uncancel():
            raise asyncio.CancelledError

    # ---- limits

    def until(self) -> float:
        """When the first limit is reached; ``inf`` while nothing is handled."""
        item = self._item
        if item is None or self._reason is not None:
            return inf
        return min(self._timeout_at, self._deadline, self._kind.lease_end(item))

    def exceed(self, now: float) -> None:
        """A limit is reached: the handler is cancelled."""
        item, task = self._item, self.task
        assert item is not None
        assert task is not None
        if self._timeout_at <= now:
            self._reason = "timeout"
        elif self._deadline <= now:
            self._reason = "deadline"
        else:
            self._reason = "lease"
        task.cancel(f"nsqclient: {self._reason}")

    def _over(self, item: W, reason: Reason) -> None:
        if reason == "timeout":
            self._failed(item, HandlerTimeout(f"the handler took longer than {self._timeout:g} s"))
        elif reason == "deadline":
            self._kind.expire(item)
        else:
            facts = self._kind.facts(item)
            log.warning(
                "the handler of %s ran out of nsqd's time, and was cancelled", facts["what"], extra=facts
            )
            self._settle(item, asyncio.CancelledError())

    def _settle(self, item: W, error: BaseException | None) -> None:
        """Answers; where that can't be done the way it was decided, as for a failure; else it is handed back."""
        decided: BaseException | None = error
        while True:
            try:
                self._kind.settle(item, decided)
            except Exception as e:
                facts = self._kind.facts(item)
                log.error("%s can't be answered as was decided", facts["what"], exc_info=e, extra=facts)
                decided = e if decided is error else asyncio.CancelledError()
            else:
                return

    def _failed(self, item: W, error: Exception) -> None:
        facts = self._kind.facts(item)
        if isinstance(error, Control):
            log.debug("a handler decided: %r", error, extra=facts)
        else:
            log.error("handling %s failed", facts["what"], exc_info=error, extra=facts)
        self._settle(item, error)
