"""Cancels a coroutine at each place where it waits.

::

    async for cut in at_each_wait(lambda: producer.publish("t", b"x")):
        ...                                  # once per place; cut.place counts from 1
        assert cut.cancelled or cut.result

The last round runs to its end undisturbed, which proves that every place has had its turn.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")

DEADLINE = 10.0
"""Seconds for one round."""
MOST_PLACES = 1000
"""A coroutine that waits more often than this is taken for one that never ends."""


@dataclass(frozen=True)
class Cut(Generic[T]):
    """One round."""

    place: int
    """Cancelled when it began to wait for this time."""
    reached: bool
    """False in the last round: it does not wait so often."""
    result: T | None = None
    error: BaseException | None = None

    @property
    def cancelled(self) -> bool:
        """Whether the cancellation came out, as it must unless it came too late."""
        return isinstance(self.error, asyncio.CancelledError)


async def cancel_at(place: int, work: Coroutine[Any, Any, T], *, late: bool = False) -> Cut[T]:
    """Runs ``work`` in a task of its own and cancels it as it begins to wait for the ``place``-th time.

    ``late`` cancels one turn of the loop after that, when what it waits for may be there already.
    """
    reached = False

    @types.coroutine
    def drive() -> Generator[Any, Any, T]:
        nonlocal reached
        steps = work.__await__()
        waits = 0
        thrown: BaseException | None = None
        while True:
            try:
                waited_for = next(steps) if thrown is None else steps.throw(thrown)
            except StopIteration as e:
                return e.value  # type: ignore[no-any-return]
            waits += 1
            if waits == place:
                reached = True
                task = asyncio.current_task()
                assert task is not None
                if late:
                    asyncio.get_running_loop().call_soon(task.cancel)
                else:
                    task.cancel()
            thrown = None
            try:
                yield waited_for
            except BaseException as e:  # noqa: BLE001 - whatever it is belongs to the work
                thrown = e

    async def run() -> T:
        return await drive()

    task = asyncio.create_task(run())
    done, _ = await asyncio.wait([task], timeout=DEADLINE)
    assert done, f"it hangs after being cancelled at its wait {place}"
    if task.cancelled():
        try:
            task.result()
        except asyncio.CancelledError as e:
            return Cut(place, reached, error=e)
    error = task.exception()
    return Cut(place, reached, error=error) if error else Cut(place, reached, result=task.result())


async def at_each_wait(
    make: Callable[[], Coroutine[Any, Any, T]], *, late: bool = False
) -> AsyncIterator[Cut[T]]:
    """Makes and cancels the work at its 1st wait, its 2nd, and so on; the last round is undisturbed."""
    for place in range(1, MOST_PLACES):
        cut = await cancel_at(place, make(), late=late)
        yield cut
        if not cut.reached:
            return
    raise AssertionError(f"it still waited after {MOST_PLACES} waits")
