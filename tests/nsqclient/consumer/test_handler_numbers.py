"""How many handlers run at a time, and pools of them."""

from __future__ import annotations

import asyncio

import pytest

from nsqclient import (
    ConfigError,
    Consumer,
    Message,
)
from tests.nsqclient.consumers import OPENING, ended, make
from tests.nsqclient.producers import until
from tests.support.fake_nsqd import FakeNsqd

# ---- how many at a time


async def test_the_number_of_handlers_can_be_changed_while_they_run() -> None:
    running = 0
    let_go = asyncio.Semaphore(0)

    async def handler(message: Message) -> None:
        nonlocal running
        running += 1
        try:
            await let_go.acquire()
        finally:
            running -= 1

    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=20) as consumer:
        await nsqd.expect(*OPENING, "RDY 20")
        task = asyncio.create_task(consumer.run(handler, concurrency=2))
        for _ in range(20):
            nsqd.message()
        await until(lambda: running == 2)
        consumer.set_concurrency(5)
        await until(lambda: running == 5)
        consumer.set_concurrency(1)
        for _ in range(5):
            let_go.release()
        await nsqd.until(lambda: nsqd.verbs.count("FIN") == 5)
        await asyncio.sleep(0.01)
        assert running == 1, "none was cut short, and no other began"
        consumer.set_concurrency(3)
        await until(lambda: running == 3)
        for _ in range(15):
            let_go.release()
        await nsqd.until(lambda: nsqd.verbs.count("FIN") == 20)
        assert nsqd.verbs.count("REQ") == 0
        await ended(consumer, task)


async def test_idle_handlers_leave_first_and_lose_nothing() -> None:
    async def handler(message: Message) -> None: ...

    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=5) as consumer:
        await nsqd.expect(*OPENING, "RDY 5")
        task = asyncio.create_task(consumer.run(handler, concurrency=5))
        await asyncio.sleep(0.01)
        consumer.set_concurrency(1)
        ids = [nsqd.message() for _ in range(5)]
        await nsqd.expect(*[f"FIN {i}" for i in ids])
        with pytest.raises(ConfigError):
            consumer.set_concurrency(0)
        await ended(consumer, task)
        with pytest.raises(ConfigError, match="nothing runs"):
            consumer.set_concurrency(2)


async def test_a_thousand_handlers_run_at_a_time() -> None:
    running = most = 0
    let_go = asyncio.Event()

    async def handler(message: Message) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 1000:
            let_go.set()
        await let_go.wait()
        running -= 1

    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=2000) as consumer:
        await nsqd.expect(*OPENING, "RDY 2000")
        task = asyncio.create_task(consumer.run(handler, concurrency=1000))
        for _ in range(2000):
            nsqd.message()
        await nsqd.until(lambda: nsqd.verbs.count("FIN") == 2000)
        assert most == 1000
        await ended(consumer, task)


async def test_handlers_have_twice_as_many_messages_as_they_are() -> None:
    async def handler(message: Message) -> None: ...

    async with FakeNsqd() as nsqd, Consumer("t", "c", nsqd.address, drain=0) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        task = asyncio.create_task(consumer.run(handler, concurrency=8))
        await nsqd.expect("RDY 16")
        consumer.set_concurrency(3)
        await nsqd.expect("RDY 6")
        await ended(consumer, task)


async def test_a_max_in_flight_that_was_given_is_kept() -> None:
    async def handler(message: Message) -> None: ...

    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=3) as consumer:
        await nsqd.expect(*OPENING, "RDY 3")
        task = asyncio.create_task(consumer.run(handler, concurrency=8))
        await nsqd.expect(f"FIN {nsqd.message()}")
        await ended(consumer, task)
        assert [c for c in nsqd.commands if c.startswith("RDY")] == ["RDY 3"]


# ---- pools


async def test_a_pool_handles_several_at_a_time() -> None:
    running = most = 0

    async def handler(message: Message) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1

    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=20) as consumer:
        await nsqd.expect(*OPENING, "RDY 20")
        async with consumer.parallel(4) as pool:
            task = asyncio.create_task(pool.run(handler))
            for _ in range(20):
                nsqd.message()
            await nsqd.until(lambda: nsqd.verbs.count("FIN") == 20)
            assert most == 4
            pool.set_concurrency(1)
            most = 0
            for _ in range(5):
                nsqd.message()
            await nsqd.until(lambda: nsqd.verbs.count("FIN") == 25)
            assert most == 1
            await ended(consumer, task)


async def test_leaving_a_pool_ends_what_runs_in_it() -> None:
    started = asyncio.Event()

    async def handler(message: Message) -> None:
        started.set()
        await asyncio.Event().wait()

    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        async with consumer.parallel(4) as pool:
            task = asyncio.create_task(pool.run(handler))
            message_id = nsqd.message()
            await started.wait()
        await nsqd.expect(f"REQ {message_id} 0")
        async with asyncio.timeout(5):
            await task
        nsqd.message(b"next")
        assert (await consumer.get(timeout=5)).body == b"next"
