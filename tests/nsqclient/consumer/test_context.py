from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextvars import ContextVar, copy_context

import pytest

from nsqclient.consumer.context import in_context

variable: ContextVar[str] = ContextVar("variable", default="nothing")


async def test_what_a_handler_sets_is_its_own_also_after_it_waited() -> None:
    seen: list[str] = []

    async def handler(name: str) -> str:
        variable.set(name)
        await asyncio.sleep(0)
        seen.append(variable.get())
        await asyncio.create_task(look())
        return name.upper()

    async def look() -> None:
        seen.append(variable.get())

    assert await in_context(copy_context(), handler, "one") == "ONE"
    assert (seen, variable.get()) == (["one", "one"], "nothing")


async def test_the_context_may_be_prepared() -> None:
    async def handler() -> str:
        await asyncio.sleep(0)
        return variable.get()

    context = copy_context()
    context.run(variable.set, "prepared")
    assert await in_context(context, handler) == "prepared"


async def test_errors_come_out_wherever_they_are_raised() -> None:
    async def at_once() -> None:
        raise LookupError("at once")

    async def later() -> None:
        await asyncio.sleep(0)
        raise LookupError("later")

    def before_it_is_awaited() -> asyncio.Future[None]:
        raise LookupError("before")

    for handler, text in ((at_once, "at once"), (later, "later"), (before_it_is_awaited, "before")):
        with pytest.raises(LookupError, match=text):
            await in_context(copy_context(), handler)


async def test_anything_that_can_be_awaited_will_do() -> None:
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(done.set_result, 7)
    assert await in_context(copy_context(), lambda: done) == 7


async def test_a_cancellation_reaches_the_handler_and_its_cleaning_up_may_wait() -> None:
    steps: list[str] = []

    async def handler() -> None:
        variable.set("mine")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            steps.append(variable.get())

    async def worker() -> None:
        await in_context(copy_context(), handler)

    task = asyncio.create_task(worker())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == ["mine"]


async def test_a_handler_may_limit_itself_and_knows_its_task() -> None:
    async def handler() -> object:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        return asyncio.current_task()

    assert await in_context(copy_context(), handler) is asyncio.current_task()


async def test_a_step_that_is_dropped_ends_the_handler() -> None:
    ended: list[str] = []

    async def handler() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("yes")

    steps = in_context(copy_context(), handler)
    next(steps)
    steps.close()
    assert ended == ["yes"]


async def test_what_can_be_awaited_need_not_be_a_generator() -> None:
    class Once:
        def __await__(self) -> Iterator[None]:
            return iter([None])

    def handler() -> Once:
        return Once()

    assert await in_context(copy_context(), handler) is None  # type: ignore[arg-type]
