"""Runs plain functions as handlers, each worker's in a thread that is its own.

A thread can't be cancelled. One that is not waited for any more is left behind: it ends with its function,
and, being a daemon thread, does not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable
from contextvars import Context
from queue import SimpleQueue

log = logging.getLogger(__name__)

Job = Callable[[], None]


def is_plain(function: Callable[..., object]) -> bool:
    """Whether calling it does the work; calling a coroutine function only makes something to await."""
    if inspect.iscoroutinefunction(function):
        return False
    call = getattr(function, "__call__", None)  # noqa: B004 - of an object, not whether it has one
    return not inspect.iscoroutinefunction(call)


class HandlerThread:
    """One thread, begun with the first call; for one call at a time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._busy: asyncio.Future[object] | None = None

    @property
    def busy(self) -> bool:
        """Whether a call runs, be it waited for or not."""
        return self._busy is not None and not self._busy.done()

    async def call(self, context: Context, function: Callable[..., object], *arguments: object) -> object:
        """Runs the function in the thread and returns or raises what it does.

        When the caller is cancelled the function runs on; :attr:`busy` and :meth:`wait` tell of it.
        """
        assert not self.busy
        loop = asyncio.get_running_loop()
        if self._thread is None:
            thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            thread.start()  # which the system may refuse
            self._thread = thread
        done: asyncio.Future[object] = loop.create_future()
        self._busy = done

        def job() -> None:
            try:
                result = context.run(function, *arguments)
            except BaseException as e:  # noqa: BLE001 - raised where it is waited for
                _tell(loop, done, None, e)
            else:
                _tell(loop, done, result, None)

        self._jobs.put(job)
        try:
            await asyncio.wait([done])
        except asyncio.CancelledError:
            done.add_done_callback(_look_at)
            raise
        return done.result()

    async def wait(self) -> None:
        """Until the call that runs has ended; how is not told."""
        if self._busy is not None and not self._busy.done():
            await asyncio.wait([self._busy])

    def end(self) -> None:
        """No more calls; the thread ends, at once if it is idle."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # it holds a message


def _tell(
    loop: asyncio.AbstractEventLoop,
    done: asyncio.Future[object],
    result: object,
    error: BaseException | None,
) -> None:
    def settle() -> None:
        if isinstance(error, StopIteration):  # a future does not take it
            done.set_exception(RuntimeError("the handler raised StopIteration"))
        elif error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)

    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:
        log.error("a handler ended in its thread when the event loop was closed already", exc_info=error)


def _look_at(done: asyncio.Future[object]) -> None:
    """Nobody waits for it any more; its error is not to be told twice, nor warned about."""
    if not done.cancelled():
        error = done.exception()
        if error is not None:
            log.error("a handler that was left behind in its thread failed", exc_info=error)
