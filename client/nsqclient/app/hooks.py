"""What an app does around its start and its end."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

log = logging.getLogger(__name__)

Hook = Callable[[], Awaitable[object] | object]
"""A function without parameters, plain or async; what it returns is ignored."""
Moment = Literal["on_startup", "after_startup", "on_shutdown", "after_shutdown"]
"""Before anything connects; when all is subscribed; before draining; when all is closed."""
F = TypeVar("F", bound=Hook)


class Hooks:
    """The functions to call at one point, in the order they were registered."""

    def __init__(self, name: Moment) -> None:
        self.name = name
        self._hooks: list[Hook] = []

    def __call__(self, hook: F) -> F:
        """Registers ``hook``, as a decorator; returns it."""
        self._hooks.append(hook)
        return hook

    async def run(self) -> None:
        """Calls them; raises what the first that fails raises, and calls none after it."""
        for hook in self._hooks:
            await _call(hook)

    async def run_all(self) -> Exception | None:
        """Calls each, whatever the others raise; logs what they raise and returns the first of it."""
        first: Exception | None = None
        for hook in self._hooks:
            try:
                await _call(hook)
            except Exception as e:
                log.error("a hook of %s failed: %r", self.name, hook, exc_info=e)
                first = first or e
        return first


async def _call(hook: Hook) -> None:
    result = hook()
    if inspect.isawaitable(result):
        await result
