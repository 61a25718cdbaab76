"""An event loop in a thread of its own, and the calls into it from other threads.

A call waits for its outcome without polling, and can be interrupted at any time: Ctrl-C in the main thread
raises KeyboardInterrupt there and cancels the call in the loop.

Threads and fork do not mix: in a child process the loop's thread is gone. The portal knows it
(:attr:`Portal.foreign`), and the sockets that the child has inherited are let go there, so that nsqd notices
when the parent closes them.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import threading
import weakref
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from nsqclient.errors import Closed

T = TypeVar("T")

STOP_TIMEOUT = 5.0
"""Seconds that the loop's thread is waited for at the end."""


class Call(Generic[T]):
    """A coroutine that runs in the loop for another thread."""

    def __init__(self, portal: Portal, undo: Callable[[T], object] | None) -> None:
        self.future: Future[T] = Future()
        """Its outcome; cancelling it cancels the coroutine."""
        self._portal = portal
        self._undo = undo
        self._task: asyncio.Task[None] | None = None
        self.future.add_done_callback(self._done)

    def start(self, work: Callable[[], Coroutine[Any, Any, T]], loop: asyncio.AbstractEventLoop) -> None:
        """In the loop's thread."""
        if not self.future.cancelled():
            self._task = loop.create_task(self._run(work))

    def abandon(self) -> None:
        """Nobody waits any more: cancels the coroutine, or undoes the result it has."""
        if not self.future.cancel() and self.future.exception() is None and self._undo is not None:
            undo, value = self._undo, self.future.result()
            self._portal.post(lambda: undo(value))

    async def _run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        try:
            value = await work()
        except asyncio.CancelledError:  # by a call that was abandoned, or because the loop ends
            if self.future.set_running_or_notify_cancel():
                self.future.set_exception(Closed("it was closed meanwhile"))
        except BaseException as e:  # noqa: BLE001 - it is raised in the thread that waits
            if self.future.set_running_or_notify_cancel():
                self.future.set_exception(e)
        else:
            if self.future.set_running_or_notify_cancel():
                self.future.set_result(value)
            elif self._undo is not None:
                self._undo(value)

    def _done(self, future: Future[T]) -> None:
        if future.cancelled():
            self._portal.post(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


class Portal:
    """A running loop; :meth:`stop` ends it. What still waits then is told that it is closed."""

    def __init__(self, name: str) -> None:
        """``name`` is the thread's."""
        self._selector = selectors.DefaultSelector()
        self._loop = asyncio.SelectorEventLoop(self._selector)
        self._pid = os.getpid()
        self._posted: deque[Callable[[], object]] = deque()
        self._woken = False
        self._calls: set[Future[Any]] = set()
        self._lock = threading.Lock()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        _portals.add(self)
        self._thread.start()

    @property
    def foreign(self) -> bool:
        """Whether this is another process than the one that made it: it can't be used here."""
        return os.getpid() != self._pid

    def here(self) -> bool:
        """Whether the caller is the loop's own thread, which must not wait for itself."""
        return threading.current_thread() is self._thread

    def post(self, action: Callable[[], object]) -> None:
        """Runs ``action`` in the loop, soon, after what was posted before. Nothing happens once it is stopped."""
        self._posted.append(action)
        if not self._woken:  # waking a loop costs a system call, and one is enough for many actions
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._work)
            except RuntimeError:  # the loop is closed
                self._woken = False

    def begin(
        self, work: Callable[[], Coroutine[Any, Any, T]], undo: Callable[[T], object] | None = None
    ) -> Call[T]:
        """Starts a coroutine in the loop. ``undo`` gets its result, there, if nobody waits for it any more."""
        call: Call[T] = Call(self, undo)
        with self._lock:
            if self._stopped:
                raise Closed("it is closed")
            self._calls.add(call.future)
        call.future.add_done_callback(self._calls.discard)
        self.post(lambda: call.start(work, self._loop))
        return call

    def call(
        self, work: Callable[[], Coroutine[Any, Any, T]], undo: Callable[[T], object] | None = None
    ) -> T:
        """The result of a coroutine that runs in the loop. Being interrupted cancels it."""
        if self.here():
            raise RuntimeError("this would wait for itself: it was called from the loop's own thread")
        call = self.begin(work, undo)
        try:
            return call.future.result()
        except BaseException:
            call.abandon()
            raise

    def run(self, action: Callable[[], T]) -> T:
        """The result of a plain function that runs in the loop."""

        async def work() -> T:
            return action()

        return self.call(work)

    def stop(self) -> None:
        """Ends the loop and waits for its thread; twice is fine, and so is a child process."""
        with self._lock:
            self._stopped = True
        if self.foreign or not self._thread.is_alive():
            return
        try:
            self._loop.call_soon_threadsafe(self._loop.stop)
        except RuntimeError:
            return  # it has ended by itself
        if not self.here():
            self._thread.join(STOP_TIMEOUT)

    def let_go(self) -> None:
        """In a child process: closes what was inherited, by putting /dev/null in its place.

        The numbers stay taken, so that the objects which own them can close them without harm.
        """
        null = os.open(os.devnull, os.O_RDWR)
        try:
            for key in list((self._selector.get_map() or {}).values()):
                os.dup2(null, key.fd)
        finally:
            os.close(null)

    def _work(self) -> None:
        self._woken = False
        posted = self._posted
        while posted:
            try:
                posted.popleft()()
            except Exception as e:  # noqa: BLE001 - it must not cost the others their turn
                self._loop.call_exception_handler(
                    {"message": "a call from another thread failed", "exception": e}
                )

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._end()

    def _end(self) -> None:
        with self._lock:
            self._stopped = True
        try:
            self._work()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            if tasks:
                self._loop.run_until_complete(asyncio.wait(tasks, timeout=1))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            for future in list(self._calls):
                if future.set_running_or_notify_cancel():
                    future.set_exception(Closed("it was closed meanwhile"))
            self._loop.close()


_portals: weakref.WeakSet[Portal] = weakref.WeakSet()


def _after_fork() -> None:
    for portal in list(_portals):
        _inherited.append(portal)  # nothing of it may run here, its destructors included
        portal.let_go()
    _portals.clear()


_inherited: list[Portal] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
