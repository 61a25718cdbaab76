from __future__ import annotations

import asyncio

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
