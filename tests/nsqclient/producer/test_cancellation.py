"""Every call of a producer, cancelled at each place where it waits: nothing is lost, left or told twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from nsqclient import Batch, Producer, Receipt, Routing
from tests.nsqclient.producers import QUICK, until
from tests.support.cancellation import at_each_wait
from tests.support.fake_nsqd import FakeNsqd

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "batches": {"batch": Batch(linger=0.002)},
    "headers": {"headers": "always"},
    "reports": {"reports": "all"},
    "one at a time": {"max_pending": 1},
}


def bodies(nsqd: FakeNsqd) -> list[str]:
    return [command.rpartition(" ")[2] for command in nsqd.commands if command.startswith("PUB ")]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("setting", SETTINGS)
async def test_a_publish(setting: str, late: bool) -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=QUICK, **SETTINGS[setting]) as producer:
        rounds = 0
        numbers: list[int] = []

        def make() -> Coroutine[Any, Any, Receipt]:
            numbers.append(len(numbers))
            return producer.publish("t", b"%d" % numbers[-1])

        stored = 0
        async for cut in at_each_wait(make, late=late):
            rounds += 1
            if cut.cancelled:
                assert cut.error is not None
                (note,) = cut.error.__notes__
                await producer.flush()
                if "was not sent" in note:
                    assert producer.stats.stored == stored
                elif "may be stored" in note:
                    report = await anext(producer.reports())
                    assert report.abandoned
                    assert report.receipt is not None
                    stored += 1
                else:
                    assert "is stored by" in note
                    stored += 1
            else:
                assert cut.result is not None
                stored += 1
            assert (producer.stats.stored, producer.stats.pending) == (stored, 0)
        assert rounds >= 2
        assert len(nsqd.bodies) == stored


@pytest.mark.parametrize("late", [False, True])
async def test_a_publish_that_waits_for_room(late: bool) -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, max_pending=1) as producer:

        async def work() -> Receipt:
            blocker = await producer.submit("t", b"first")
            try:
                return await producer.publish("t", b"second")
            finally:
                await asyncio.shield(asyncio.ensure_future(settled(blocker)))

        async def settled(delivery: Any) -> None:
            await delivery

        async for cut in at_each_wait(work, late=late):
            assert cut.cancelled or cut.result is not None
            async with asyncio.timeout(5):
                await producer.flush()
            assert producer.stats.pending == 0
            assert not producer._room._waiting
        assert producer.stats.unknown == producer.stats.rejected == 0
        assert len(nsqd.bodies) == producer.stats.stored


CALLS: dict[str, Callable[[Producer], Coroutine[Any, Any, object]]] = {
    "publish_many": lambda p: p.publish_many("t", [b"1", b"2"]),
    "submit": lambda p: p.submit("t", b"x"),
    "flush": lambda p: p.flush(),
    "check": lambda p: p.check(),
}


@pytest.mark.parametrize("call", CALLS)
async def test_other_calls(call: str) -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=QUICK) as producer:
        async for cut in at_each_wait(lambda: CALLS[call](producer)):
            assert cut.cancelled == cut.reached
            await producer.submit("t", b"next")
        await producer.flush()
        assert producer.stats.pending == 0
        assert not producer._dispatch._ledger._flushes if producer._dispatch else False
        await producer.publish("t", b"still works")


@pytest.mark.parametrize("late", [False, True])
async def test_a_publish_of_copies(late: bool) -> None:
    async with (
        FakeNsqd() as one,
        FakeNsqd() as two,
        Producer([one.address, two.address], routing=Routing(copies=2), headers="auto") as producer,
    ):
        await until(lambda: producer.stats.connections == 2)
        async for cut in at_each_wait(lambda: producer.publish("t", b"x"), late=late):
            assert cut.cancelled or cut.result is not None
            await producer.flush()
            assert producer.stats.pending == 0
        assert len(one.bodies) == len(two.bodies) == producer.stats.stored


@pytest.mark.parametrize("late", [False, True])
async def test_a_whole_life(late: bool) -> None:
    before = asyncio.all_tasks()
    async with FakeNsqd() as nsqd:

        async def work() -> None:
            async with Producer(nsqd.address, retry=QUICK, close_timeout=1) as producer:
                await producer.publish("t", b"x")
                await producer.submit("t", b"y")

        async for cut in at_each_wait(work, late=late):
            assert cut.cancelled or cut.error is None
            names = {task.get_name() for task in asyncio.all_tasks() - before}
            assert not [name for name in names if "nsqclient" in name]
        await until(lambda: all(link.gone.is_set() for link in nsqd.links))
