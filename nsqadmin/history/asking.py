"""One question at a time to each daemon, and no waiting for those that let us wait before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from nsqadmin.cluster.model import Problem

T = TypeVar("T")

_GRACE_S = 0.2
"""How long a sample waits for one that was silent the last time."""
_SLOW_S = 0.5
"""A failure that took longer made somebody wait; what fails at once may be asked at any time."""


@dataclass(slots=True)
class Silence:
    """Why a daemon gave no answer, and since when (Unix seconds) it does not."""

    since: float
    problem: Problem
    slow: bool


class Questions(Generic[T]):
    """Questions to daemons of one kind, each under a key; at most ``at_once`` are on their way (0: no limit).

    A daemon that failed the last time is waited for only a moment: its question goes on beside the samples, and
    its answer is had by a later one.
    """

    def __init__(self, at_once: int = 0) -> None:
        self.silences: dict[str, Silence] = {}
        """Those that did not answer the last time."""
        self._room = asyncio.Semaphore(at_once) if at_once else None
        self._tasks: dict[str, asyncio.Task[tuple[T | Problem, float]]] = {}

    async def ask(self, key: str, question: Callable[[], Awaitable[T | Problem]]) -> T | Problem:
        """The answer to ``question``, which is asked unless the one before still waits for its answer."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(self._ask(question, key in self.silences))
        if key in self.silences:
            await asyncio.wait([task], timeout=_GRACE_S)
            if not task.done():
                return self.silences[key].problem
        try:
            answer, took_s = await task
        finally:
            if self._tasks.get(key) is task:
                del self._tasks[key]
        if isinstance(answer, Problem):
            silence = self.silences.setdefault(key, Silence(time.time(), answer, False))
            silence.problem, silence.slow = answer, took_s > _SLOW_S
        else:
            self.silences.pop(key, None)
        return answer

    def forget(self, keys: Iterable[str]) -> None:
        """These daemons are of no interest any more."""
        for key in keys:
            self.silences.pop(key, None)
            task = self._tasks.pop(key, None)
            if task is not None:
                task.cancel()

    async def stop(self) -> None:
        """Ends all questions."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def waited_for(self) -> Iterable[Problem]:
        """Those that nobody need wait for again, with the time since when in their reasons."""
        for silence in self.silences.values():
            if silence.slow:
                since = time.strftime("%H:%M:%S UTC", time.gmtime(silence.since))
                reason = f"{silence.problem.reason}; no answer since {since}"
                yield replace(silence.problem, reason=reason)

    async def _ask(
        self, question: Callable[[], Awaitable[T | Problem]], beside: bool
    ) -> tuple[T | Problem, float]:
        # Who is asked beside the samples takes no room in them.
        if self._room is None or beside:
            began = time.monotonic()
            return await question(), time.monotonic() - began
        async with self._room:
            began = time.monotonic()
            return await question(), time.monotonic() - began
