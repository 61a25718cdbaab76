"""Handlers side by side, within a block."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Generic, Self

from nsqclient.consumer.worker import Handler, W
from nsqclient.consumer.workers import Crew, check_concurrency
from nsqclient.durations import Seconds


class Pool(Generic[W]):
    """Handles what a consumer receives, several at a time; see :meth:`Consumer.parallel`."""

    def __init__(self, concurrency: int, crew: Callable[[Handler[W], int, Seconds | None], Crew[W]]) -> None:
        """Raises ConfigError."""
        check_concurrency(concurrency)
        self._concurrency = concurrency
        self._crew = crew
        self._crews: set[Crew[W]] = set()

    async def run(self, handler: Handler[W], *, timeout: Seconds | None = None) -> None:
        """As :meth:`Consumer.run`; several may run, each as wide as the pool."""
        crew = self._crew(handler, self._concurrency, timeout)
        self._crews.add(crew)
        try:
            await crew.run()
        finally:
            self._crews.discard(crew)

    def set_concurrency(self, count: int) -> None:
        """Changes at once how many handlers run at a time; none is cut short. Raises ConfigError."""
        check_concurrency(count)
        self._concurrency = count
        for crew in self._crews:
            crew.set_concurrency(count)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for crew in list(self._crews):  # of runs in tasks of their own
            await crew.cancel()
