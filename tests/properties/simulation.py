"""A loop whose time is ours, a transport without a network, and a disk thread that waits for its turn.

Everything runs in one thread and in one order, so an example that fails fails again.
"""

from __future__ import annotations

import asyncio
import selectors
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NamedTuple, TypeVar, TypeVarTuple, cast

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MOST_TURNS = 20_000
"""Turns of the loop without an idle moment: more is an endless loop."""


class _Clock(selectors.BaseSelector):
    """Knows no files: to wait is to let the time pass."""

    def __init__(self, idle: Callable[[float | None], None]) -> None:
        self._idle = idle
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self._keys[fileobj] = selectors.SelectorKey(fileobj, 0, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._idle(timeout)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Runs until nothing is left to do at the given time, and jumps from timer to timer."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.stalled = False
        """The threads get nothing done."""
        self._until = self.now
        self._turns = 0
        self._jobs: defaultdict[object, deque[Callable[[], None]]] = defaultdict(deque)
        self._failures: list[dict[str, Any]] = []
        super().__init__(_Clock(self._on_idle))
        self.set_exception_handler(lambda _, context: self._failures.append(context))

    def time(self) -> float:
        return self.now

    def _on_idle(self, timeout: float | None) -> None:
        if timeout == 0:
            self._turns += 1
            if self._turns > MOST_TURNS:
                raise AssertionError("the loop finds no rest")
            return
        self._turns = 0
        if timeout is None or self.now + timeout > self._until:
            self.now = self._until
            self.stop()
        else:
            self.now += timeout

    def advance(self, seconds: float) -> None:
        """Lets the time pass; all that is due happens on time."""
        self._until = self.now + seconds
        self._turns = 0
        self.run_forever()
        self._check()

    def perform(self, action: Callable[[], T]) -> T:
        """Calls ``action`` in the loop, and lets happen what follows from it without any time passing."""
        results: list[T] = []
        self.call_soon(lambda: results.append(action()))
        self.advance(0)
        return results[0]

    def complete(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine to its end, which may not take any time."""
        task = self.create_task(coroutine)
        self.advance(0)
        assert task.done(), f"{task} still waits"
        return task.result()

    def _check(self) -> None:
        if self._failures:
            context = self._failures.pop()
            raise AssertionError(context["message"]) from context.get("exception")

    # -- threads -----------------------------------------------------------------------------------

    def run_in_executor(self, executor: object, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Threads do one job per turn of the loop, each executor its own in order; none while stalled."""
        future: asyncio.Future[T] = self.create_future()

        def job() -> None:
            try:
                result = func(*args)
            except Exception as e:  # noqa: BLE001 - as a thread does, whatever the job raised
                future.set_exception(e)
            else:
                future.set_result(result)

        self._jobs[executor].append(job)
        if not self.stalled:
            self.call_soon(self._work, executor)
        return future

    def _work(self, executor: object) -> None:
        if not self.stalled and self._jobs[executor]:
            self._jobs[executor].popleft()()

    def stall(self, stalled: bool) -> None:
        """Threads stop working, or go on with all that was given to them."""
        self.stalled = stalled
        if not stalled:
            for executor, jobs in self._jobs.items():
                for _ in jobs:
                    self.call_soon(self._work, executor)


class Event(NamedTuple):
    """What a transport was told: bytes, or None for its end."""

    time: float
    transport: FakeTransport
    data: bytes | None


class FakeTransport(asyncio.Transport):
    """Keeps what is written, with the time, in a log that many transports may share."""

    def __init__(self, loop: SimulatedLoop, log: list[Event]) -> None:
        super().__init__()
        self._loop = loop
        self._log = log
        self.closing = False
        self.reading = True
        self.lost = False
        self.protocol: asyncio.Protocol | None = None

    def connect(self, protocol: asyncio.Protocol) -> None:
        """Joins the two."""
        self.protocol = protocol
        protocol.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.lost, "written behind the end"
        self._log.append(Event(self._loop.now, self, bytes(data)))

    def write_eof(self) -> None:
        self.close()

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            self._log.append(Event(self._loop.now, self, None))
            self._loop.call_soon(self.lose)

    def abort(self) -> None:
        self.close()

    def end(self) -> None:
        """The client sends no more."""
        if not cast(asyncio.Protocol, self.protocol).eof_received():
            self.close()

    def lose(self) -> None:
        """The connection is gone."""
        if not self.lost:
            if not self.closing:
                self._log.append(Event(self._loop.now, self, None))
            self.lost = self.closing = True
            cast(asyncio.Protocol, self.protocol).connection_lost(None)

    def is_closing(self) -> bool:
        return self.closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return cast(asyncio.Protocol, self.protocol)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_reading(self) -> bool:
        return self.reading
