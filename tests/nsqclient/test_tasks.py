from __future__ import annotations

import asyncio
from contextvars import ContextVar, copy_context

from nsqclient.tasks import Tasks


async def test_a_task_that_dies_is_told_of() -> None:
    failures: list[BaseException] = []
    tasks = Tasks(failures.append)
    error = LookupError("broken")

    async def work() -> None:
        raise error

    task = tasks.start(work(), "work")
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert failures == [error]


async def test_stopping_ends_all_tasks_and_is_no_failure() -> None:
    failures: list[BaseException] = []
    tasks = Tasks(failures.append)
    started = [tasks.start(asyncio.sleep(3600), "sleep") for _ in range(2)]
    await tasks.stop()
    assert all(task.cancelled() for task in started)
    await tasks.stop()
    assert failures == []


async def test_finishing_waits_for_what_runs_and_cancels_what_takes_too_long() -> None:
    failures: list[BaseException] = []
    tasks = Tasks(failures.append)
    quick = tasks.start(asyncio.sleep(0.01), "quick")
    slow = tasks.start(asyncio.sleep(60), "slow")
    await tasks.finish(0.05)
    assert (quick.cancelled(), slow.cancelled()) == (False, True)
    await tasks.finish(0.05)
    assert failures == []


async def test_a_task_may_run_in_a_context_of_its_own() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="nothing")
    context = copy_context()
    variable.set("outside")

    async def look() -> str:
        return variable.get()

    tasks = Tasks(lambda error: None)
    assert await tasks.start(look(), "inherits") == "outside"
    assert await tasks.start(look(), "its own", context) == "nothing"
