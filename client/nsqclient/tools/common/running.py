"""A tool while it runs: how it hears signals, and how its work is run."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import uvloop

from nsqclient.tools.common.progress import Progress
from nsqcore.runner import raise_file_limit

_STOPPING = (signal.SIGINT, signal.SIGTERM)


class Running:
    """Belongs to one run of a tool, inside its event loop."""

    def __init__(self) -> None:
        self.stop: asyncio.Event = asyncio.Event()
        """Set when the tool has to end: by SIGINT, SIGTERM, or :meth:`end`."""
        self.progress: Progress = Progress()
        """What people see on a terminal while it works."""
        self._loop = asyncio.get_running_loop()
        self._on_stop: dict[object, Callable[[], object]] = {}

    def end(self) -> None:
        """Begins the end, as a signal does; again is nothing."""
        if self.stop.is_set():
            return
        self.stop.set()
        for call in list(self._on_stop.values()):
            call()

    @contextmanager
    def stopping(self, call: Callable[[], object]) -> Iterator[None]:
        """Within the block, ``call`` is called when the end begins; at once if it has begun already."""
        key = object()
        self._on_stop[key] = call
        if self.stop.is_set():
            call()
        try:
            yield
        finally:
            del self._on_stop[key]

    async def sleep(self, seconds: float) -> bool:
        """Sleeps, but not beyond the beginning of the end; whether that has begun."""
        try:
            async with asyncio.timeout(seconds):
                await self.stop.wait()
        except TimeoutError:
            pass
        return self.stop.is_set()

    def on_reload(self, call: Callable[[], object]) -> None:
        """From now on SIGHUP calls this inside the loop, instead of killing the process."""
        self._hear(signal.SIGHUP, call)

    def listen(self) -> None:
        """Hears SIGINT and SIGTERM, however often they come."""
        for number in _STOPPING:
            self._hear(number, self.end)

    def _hear(self, number: signal.Signals, call: Callable[[], object]) -> None:
        # not the loop's own handlers: those go back to "kill" while the loop closes
        signal.signal(number, lambda *_: self._loop.call_soon_threadsafe(call))


def run_until_done(work: Callable[[Running], Awaitable[int]]) -> int:
    """Runs ``work`` in an event loop of its own; returns and raises what it does.

    Signals that come once it has ended are ignored: the process is expected to end as well.
    """
    raise_file_limit()
    before = signal.getsignal(signal.SIGHUP)

    async def run() -> int:
        running = Running()
        running.listen()
        try:
            with running.progress:
                return await work(running)
        finally:
            for number in _STOPPING:
                signal.signal(number, signal.SIG_IGN)
            if signal.getsignal(signal.SIGHUP) is not before:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())
