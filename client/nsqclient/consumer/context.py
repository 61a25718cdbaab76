"""Calls a handler in a context of its own, without a task of its own.

Context variables that a handler sets must not be seen by the next message's. A task for each message
would do that, at several times the cost: here the task of a worker steps the handler's coroutine, each
step in the context that belongs to the message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context
from types import CoroutineType, coroutine
from typing import Any, TypeVar

T = TypeVar("T")


@coroutine
def in_context(
    context: Context, function: Callable[..., Awaitable[T]], *arguments: object
) -> Generator[Any, Any, T]:
    """Awaiting it calls ``function(*arguments)`` and awaits what it returns, all within ``context``.

    Cancelling, ``asyncio.timeout`` and ``asyncio.current_task`` work as ever: the task is the caller's.
    """
    enter = context.run
    try:
        steps, waiting_for = enter(_begin, function, arguments)
        while True:
            try:
                got = yield waiting_for
            except GeneratorExit:
                enter(steps.close)
                raise
            except BaseException as e:  # noqa: BLE001 - handed on to the handler, a cancellation included
                waiting_for = enter(steps.throw, e)
            else:
                waiting_for = enter(steps.send, got)
    except StopIteration as e:
        return e.value  # type: ignore[no-any-return]


def _begin(
    function: Callable[..., Awaitable[T]], arguments: tuple[object, ...]
) -> tuple[Generator[Any, Any, T] | Coroutine[Any, Any, T], object]:
    """Calls it, and goes up to the first wait; raises StopIteration with the result when there is none."""
    awaitable = function(*arguments)
    if isinstance(awaitable, CoroutineType):
        return awaitable, awaitable.send(None)
    steps = awaitable.__await__()
    if not hasattr(steps, "throw"):  # of a class whose __await__ returns no more than an iterator
        steps = _steps(steps)
    return steps, steps.send(None)


def _steps(iterator: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
    return (yield from iterator)
