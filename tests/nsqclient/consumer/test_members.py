"""Nodes that are left, joined and found at awkward moments."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from nsqclient import Closed, Message
from tests.nsqclient.consumers import OPENING, QUICK, make
from tests.nsqclient.producers import until
from tests.support.fake_nsqd import FakeNsqd, silence


async def test_a_node_may_be_left_twice_at_the_same_time() -> None:
    async with (
        FakeNsqd() as nsqd,
        FakeNsqd() as other,
        make([nsqd.address, other.address], max_in_flight=4) as consumer,
    ):
        await nsqd.until(lambda: "RDY" in nsqd.verbs)
        nsqd.message()
        message = await consumer.get(timeout=5)
        leaving = [asyncio.create_task(consumer.disconnect(nsqd.address, drain=5)) for _ in range(2)]
        await nsqd.until(lambda: "CLS" in nsqd.verbs)
        message.finish()
        async with asyncio.timeout(5):
            await asyncio.gather(*leaving)
        assert nsqd.verbs.count("CLS") == 1


async def test_the_consumer_may_end_while_a_node_is_left() -> None:
    async with FakeNsqd() as nsqd, FakeNsqd() as other:
        async with make([nsqd.address, other.address], max_in_flight=4) as consumer:
            await nsqd.until(lambda: "RDY" in nsqd.verbs)
            held = nsqd.message()
            await consumer.get(timeout=5)
            leaving = asyncio.create_task(consumer.disconnect(nsqd.address, drain=60))
            await nsqd.until(lambda: "CLS" in nsqd.verbs)
        async with asyncio.timeout(5):
            await leaving
        assert nsqd.verbs.count("CLS") == 1
        assert nsqd.commands[-1] == f"REQ {held} 0"
        await other.until(lambda: "CLS" in other.verbs)


async def test_a_node_that_is_wanted_again_while_it_is_left_is_connected_anew() -> None:
    async with (
        FakeNsqd() as nsqd,
        FakeNsqd() as other,
        make([nsqd.address, other.address], max_in_flight=4) as consumer,
    ):
        await nsqd.until(lambda: "RDY" in nsqd.verbs)
        nsqd.message()
        message = await consumer.get(timeout=5)
        leaving = asyncio.create_task(consumer.disconnect(nsqd.address, drain=5))
        await nsqd.until(lambda: "CLS" in nsqd.verbs)
        consumer.connect(nsqd.address)
        message.finish()
        await leaving
        await nsqd.until(lambda: nsqd.verbs.count("SUB") == 2)


async def test_no_node_joins_once_the_end_has_begun() -> None:
    async with FakeNsqd() as nsqd, FakeNsqd() as late:
        async with asyncio.timeout(5), make(nsqd.address) as consumer:
            await nsqd.expect(*OPENING, "RDY 1")
            consumer.stop()
            with pytest.raises(Closed, match="consumer is closed"):
                consumer.connect(late.address)
            consumer._reception.members.found(frozenset([late.address]), False)
        assert consumer.stats.connections == 0
        late.nothing_more()


async def test_what_is_given_up_when_its_node_is_left_is_handed_back_once() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def hook(message: Message, error: BaseException | None) -> None:
        begun.set()
        await go_on.wait()

    async with (
        FakeNsqd() as nsqd,
        FakeNsqd() as other,
        make([nsqd.address, other.address], max_in_flight=4, attempts=1, give_up=hook) as consumer,
    ):
        await nsqd.until(lambda: "RDY" in nsqd.verbs)
        message_id = nsqd.message(attempts=1)
        (await consumer.get(timeout=5)).requeue()
        await begun.wait()
        await consumer.disconnect(nsqd.address, drain=0)
        go_on.set()
        await until(lambda: not consumer._reception.admission.give_up._tasks._running)
        assert [c for c in nsqd.commands if message_id in c] == [f"REQ {message_id} 0"]


async def test_a_refused_touch_ends_the_wait_of_a_consumer_that_closes() -> None:
    async with FakeNsqd() as nsqd:
        nsqd.script("TOUCH", lambda link: link.error(f"E_TOUCH_FAILED TOUCH {held} failed ID not in flight"))
        async with asyncio.timeout(5), make(nsqd.address, drain=60) as consumer:
            await nsqd.expect(*OPENING, "RDY 1")
            held = nsqd.message()
            message = await consumer.get(timeout=5)
            closing = asyncio.create_task(consumer.close())
            await nsqd.expect("CLS")
            message.touch()
            await closing


@pytest.mark.parametrize("spread", ["fair", "eager"])
async def test_a_message_that_nsqd_took_back_makes_room_for_others(spread: str) -> None:
    async with FakeNsqd() as nsqd, FakeNsqd() as other:
        nsqd.script("TOUCH", lambda link: link.error(f"E_TOUCH_FAILED TOUCH {held} failed ID not in flight"))
        async with make([nsqd.address, other.address], spread=spread, low_rdy_idle=300) as consumer:
            await nsqd.until(lambda: "RDY" in nsqd.verbs or "RDY" in other.verbs)
            if spread == "fair" and "RDY" not in nsqd.verbs:
                other.message()
                (await consumer.get(timeout=5)).finish()
                await nsqd.until(lambda: "RDY 1" in nsqd.commands)
            held = nsqd.message()
            message = await consumer.get(timeout=5)
            await nsqd.until(lambda: "RDY 0" in nsqd.commands)
            message.touch()
            await nsqd.until(lambda: "RDY 1" in (nsqd.commands[-1], other.commands[-1]))


async def test_a_consumer_that_was_closed_before_it_was_opened_gives_nothing() -> None:
    consumer = make("127.0.0.1:1")
    events = consumer.events()
    await consumer.close()
    async with asyncio.timeout(5):
        assert [event async for event in events] == []
        assert [message async for message in consumer] == []
        with pytest.raises(Closed):
            await consumer.get()


async def test_flapping_nodes_cost_the_others_nothing() -> None:
    async with FakeNsqd() as good, FakeNsqd() as bad:
        bad.always("RDY", lambda link: link.drop())
        async with make([good.address, bad.address], max_in_flight=4, reconnect=QUICK) as consumer:
            await bad.until(lambda: bad.verbs.count("SUB") >= 20)
            for count in range(10):
                good.message()
                (await consumer.get(timeout=5)).finish()
                await good.until(partial(lambda n: good.verbs.count("FIN") > n, count))
            assert len(consumer._reception.flow._lanes) <= 2
            bad.script("SUB", silence)
