"""Runs an app as a process does: an event loop of its own, and signals that end it."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

log = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Servable(Protocol):
    """What :func:`serve` runs."""

    async def __aenter__(self) -> object:
        """Starts it."""

    async def wait(self) -> None:
        """Until it is to end."""

    async def close(self, grace: float) -> None:
        """Ends it in order; being cancelled makes it hurry."""


def serve(app: Servable, grace: float) -> None:
    """Runs ``app`` until it wants to end, or a signal says so, in a new event loop.

    Raises what it raises, and SystemExit when a second signal cut its end short.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        forced = runner.run(_serve(app, grace))
    if forced is not None:
        raise SystemExit(128 + forced)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # pragma: no cover - it does not exist everywhere
        return None
    return uvloop.new_event_loop


async def _serve(app: Servable, grace: float) -> signal.Signals | None:
    """The signal that cut the end short; None if it ended in order."""
    first, second = asyncio.Event(), asyncio.Event()
    told: list[signal.Signals] = []

    def tell(number: signal.Signals) -> None:
        told.append(number)
        log.info("got %s, %s", number.name, "cancelling what runs" if first.is_set() else "ending in order")
        (second if first.is_set() else first).set()

    with _signals(tell):
        work = asyncio.ensure_future(_start_and_wait(app))
        await _either(work, first)
        work.cancel()  # does nothing when it has ended by itself
        await asyncio.wait([work])
        ending = asyncio.ensure_future(app.close(0 if second.is_set() else grace))
        await _either(ending, second)
        if not ending.done():
            ending.cancel()
            await asyncio.wait([ending])
        error = None if ending.cancelled() else ending.exception()
        if not work.cancelled():
            work.result()  # what it died of comes before what went wrong at the end
        if error is not None:
            raise error
        return told[-1] if second.is_set() else None


async def _start_and_wait(app: Servable) -> None:
    await app.__aenter__()
    await app.wait()


async def _either(work: asyncio.Future[Any], event: asyncio.Event) -> None:
    """Until one of them is done."""
    waiting: asyncio.Future[Any] = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait([work, waiting], return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


@contextmanager
def _signals(tell: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Tells of signals while it lasts; other threads than the main one get none."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, tell, number)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
