"""Leases: messages kept, messages lost, and that one hears of it."""

from __future__ import annotations

import asyncio
from math import inf

import pytest

from nsqclient import Backoff, EventStream, LeaseLost, Message, Producer
from nsqclient.consumer.leases import due
from nsqclient.testing import FakeCluster
from nsqcore.wire.frames import MESSAGE_HEAD
from tests.nsqclient.consumers import OPENING, make
from tests.nsqclient.sources import RecordingSource
from tests.support.fake_nsqd import FakeNsqd

ID = b"0123456789abcdef"


def test_a_message_is_due_when_half_its_time_is_over_and_more_can_be_had() -> None:
    source = RecordingSource()
    source.lease, source.longest, source.margin = 60, 100, 0
    message = Message(source, MESSAGE_HEAD.pack(1, 1, ID) + b"x", 1000.0)
    assert not due(message, 1029.9, inf)
    assert due(message, 1030, inf)
    assert not due(message, 1030, 1030)
    message.renewed_at = 1030
    assert due(message, 1060, inf)
    message.renewed_at = 1040  # nsqd takes it back at 1100 in any case
    assert not due(message, 1090, inf)
    message.renewed_at = 1000
    message.finish()
    assert not due(message, 1030, inf)


async def test_messages_are_touched_while_they_are_held() -> None:
    async with (
        FakeNsqd(msg_timeout=400) as nsqd,
        make(nsqd.address, max_in_flight=2, auto_touch=True) as consumer,
    ):
        await nsqd.expect(*OPENING, "RDY 2")
        first, second = nsqd.message(), nsqd.message()
        message = await consumer.get(timeout=5)
        await nsqd.expect(*[f"TOUCH {i}" for i in (first, second)] * 2)
        assert message.time_left() > 0.1
        message.finish()
        await nsqd.expect(f"FIN {first}", f"TOUCH {second}")


async def test_a_message_is_touched_no_longer_than_the_limit() -> None:
    async with (
        FakeNsqd(msg_timeout=1000) as nsqd,
        make(nsqd.address, max_in_flight=2, auto_touch=True, limit=0.75) as consumer,
    ):
        await nsqd.expect(*OPENING, "RDY 2")
        old = nsqd.message()
        await consumer.get(timeout=5)
        await nsqd.expect(f"TOUCH {old}")
        new = nsqd.message()
        await nsqd.expect(f"TOUCH {new}")


async def test_one_message_may_be_kept_alive() -> None:
    async with FakeNsqd(msg_timeout=400) as nsqd, make(nsqd.address, max_in_flight=2) as consumer:
        await nsqd.expect(*OPENING, "RDY 2")
        kept, _ = nsqd.message(), nsqd.message()
        message = await consumer.get(timeout=5)
        async with message.keep_alive():
            await nsqd.expect(f"TOUCH {kept}", f"TOUCH {kept}")
        message.finish()
        await nsqd.expect(f"FIN {kept}")


async def test_who_keeps_a_message_alive_does_not_end_what_others_keep() -> None:
    async with FakeNsqd(msg_timeout=400) as nsqd, make(nsqd.address) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        kept = nsqd.message()
        message = await consumer.get(timeout=5)
        async with message.keep_alive():
            async with message.keep_alive(limit=0):
                pass
            await nsqd.expect(f"TOUCH {kept}", f"TOUCH {kept}")


async def test_keeping_others_alive_does_not_put_off_a_touch() -> None:
    async with FakeNsqd(msg_timeout=400) as nsqd, make(nsqd.address, max_in_flight=2) as consumer:
        await nsqd.expect(*OPENING, "RDY 2")
        kept, _ = nsqd.message(), nsqd.message()
        first, second = await consumer.get(timeout=5), await consumer.get(timeout=5)
        async with first.keep_alive(), asyncio.timeout(5):
            while f"TOUCH {kept}" not in nsqd.commands:
                async with second.keep_alive():
                    await asyncio.sleep(0.001)
        assert first.state == "held"


async def test_the_margin_is_half_of_the_lease_at_most() -> None:
    async with FakeNsqd(msg_timeout=2000) as nsqd, make(nsqd.address, margin=3600) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        nsqd.message()
        message = await consumer.get(timeout=5)
        assert 0.5 < message.time_left() <= 1


async def test_touching_near_the_end_of_nsqds_longest_time_does_not_prolong_it() -> None:
    options = {"msg_timeout": 2000, "max_msg_timeout": 2500}
    async with FakeNsqd(**options) as nsqd, make(nsqd.address, margin=0) as consumer:
        await nsqd.expect(*OPENING, "RDY 1")
        nsqd.message()
        message = await consumer.get(timeout=5)
        message.received_at -= 1
        message.renewed_at -= 1
        message.touch()
        assert message.renewed_at == message.received_at + 0.5
        assert message.time_left() == pytest.approx(message.time_left(hard=True), abs=0.01)


@pytest.mark.parametrize("spread", ["fair", "eager"])
async def test_what_nobody_ever_answers_stops_nothing(spread: str) -> None:
    async with (
        FakeCluster(nodes=2) as cluster,
        Producer(cluster) as producer,
        make(cluster, spread=spread) as consumer,
    ):
        await producer.publish("t", b"forgotten")
        for attempt in range(1, 4):
            assert (await consumer.get(timeout=10)).attempts == attempt
            await cluster.clock.advance(75)


async def test_what_nobody_ever_answers_is_not_kept_when_others_have_got_it() -> None:
    async with FakeCluster(nodes=1) as cluster, Producer(cluster) as producer, make(cluster) as consumer:
        await producer.publish("t", b"forgotten")
        forgotten = await consumer.get(timeout=10)
        consumer.pause()
        async with make(cluster) as other:
            await cluster.clock.advance(61)
            (await other.get(timeout=10)).finish()
            assert consumer.stats.in_flight == 1
            await cluster.clock.advance(20)
            assert forgotten.state == "lost"
            assert consumer.stats.in_flight == 0


async def lost(events: EventStream, count: int) -> list[LeaseLost]:
    found: list[LeaseLost] = []
    async for event in events:
        if isinstance(event, LeaseLost):
            found.append(event)
        if len(found) == count:
            return found
    raise AssertionError(found)


async def test_a_refused_answer_is_news_of_its_message_and_no_failure() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=5) as consumer:
        events = consumer.events()
        await nsqd.expect(*OPENING, "RDY 5")
        nsqd.always("FIN", lambda link: link.error(f"E_FIN_FAILED FIN {first} failed ID not in flight"))
        nsqd.always("REQ", lambda link: link.error(f"E_REQ_FAILED REQ {second} failed ID not in flight"))
        nsqd.always("TOUCH", lambda link: link.error(f"E_TOUCH_FAILED TOUCH {third} failed ID not in flight"))
        first, second, third = (nsqd.message() for _ in range(3))
        messages = [await consumer.get(timeout=5) for _ in range(3)]
        messages[0].finish()
        messages[1].requeue(0, backoff=False)
        messages[2].touch()
        assert await lost(events, 3) == [
            LeaseLost(nsqd.address, i, "refused") for i in (first, second, third)
        ]
        assert messages[2].state == "lost"
        messages[2].finish()
        assert await lost(events, 1) == [LeaseLost(nsqd.address, third, "late")]
        assert (consumer.stats.lost, consumer.stats.backoff_level) == (3, 0)
        nsqd.message()
        await consumer.get(timeout=5)


async def test_messages_of_a_lost_connection_are_lost() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address) as consumer:
        events = consumer.events()
        message_id = nsqd.message()
        message = await consumer.get(timeout=5)
        nsqd.link.drop()
        assert await lost(events, 1) == [LeaseLost(nsqd.address, message_id, "disconnected")]
        assert message.state == "lost"
        await message.finish()


async def test_it_may_slow_down_when_leases_are_lost() -> None:
    async with (
        FakeNsqd() as nsqd,
        make(nsqd.address, backoff=Backoff(multiplier=100), backoff_on=("lease_lost",)) as consumer,
    ):
        await nsqd.expect(*OPENING, "RDY 1")
        first = nsqd.message()
        (await consumer.get(timeout=5)).requeue(0)
        await nsqd.expect(f"REQ {first} 0")  # which is no failure here
        nsqd.always("FIN", lambda link: link.error(f"E_FIN_FAILED FIN {second} failed ID not in flight"))
        second = nsqd.message()
        (await consumer.get(timeout=5)).finish()
        await nsqd.expect(f"FIN {second}", "RDY 0")
        assert consumer.stats.backoff_level == 1
