from __future__ import annotations

import asyncio
from math import inf

from nsqclient.consumer.watch import Watch
from nsqclient.testing.clock import RESOLUTION, Clock


class Job:
    def __init__(self, until: float) -> None:
        self.limit = until
        self.exceeded: list[float] = []
        self.moves_to = inf

    def until(self) -> float:
        return self.limit

    def exceed(self, now: float) -> None:
        self.exceeded.append(now)
        self.limit = self.moves_to


async def test_work_is_told_when_its_limit_is_reached() -> None:
    now = asyncio.get_running_loop().time()
    late, soon = Job(now + 60), Job(now + 0.02)
    watch = Watch(lambda: [late, soon])
    watch.look(late.until())
    watch.look(soon.until())
    await asyncio.sleep(0.04)
    assert len(soon.exceeded) == 1
    assert soon.exceeded[0] >= now + 0.02
    assert late.exceeded == []
    watch.stop()


async def test_a_limit_that_moved_is_looked_at_again() -> None:
    now = asyncio.get_running_loop().time()
    job = Job(now + 0.01)
    job.moves_to = now + 0.03
    watch = Watch(lambda: [job])
    watch.look(job.until())
    await asyncio.sleep(0.02)
    assert len(job.exceeded) == 1
    job.moves_to = inf
    await asyncio.sleep(0.03)
    assert len(job.exceeded) == 2
    watch.stop()


async def test_a_timer_set_for_work_that_is_done_serves_the_next() -> None:
    loop = asyncio.get_running_loop()
    now = loop.time()
    done, following = Job(now + 0.01), Job(now + 0.03)
    watch = Watch(lambda: [done, following])
    watch.look(done.until())
    done.limit = inf
    watch.look(following.until())
    await asyncio.sleep(0.05)
    assert (len(done.exceeded), len(following.exceeded)) == (0, 1)


async def test_a_timer_that_is_a_little_early_is_in_time() -> None:
    async with Clock() as clock:
        job = Job(clock.time() + 1)
        watch = Watch(lambda: [job])
        watch.look(job.until())
        await clock.advance(1 - RESOLUTION / 2)
        assert len(job.exceeded) == 1


async def test_nothing_is_told_once_it_is_stopped() -> None:
    job = Job(asyncio.get_running_loop().time() + 0.01)
    watch = Watch(lambda: [job])
    watch.look(inf)
    watch.look(job.until())
    watch.stop()
    await asyncio.sleep(0.03)
    assert job.exceeded == []
