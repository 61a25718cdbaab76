from __future__ import annotations

import asyncio

import pytest

from nsqclient import ConfigError, Consumer
from nsqclient.consumer.batches import MessageBatch
from tests.nsqclient.consumers import OPENING, make
from tests.nsqclient.producers import until
from tests.support.fake_nsqd import FakeNsqd


async def collected(consumer: Consumer, count: int) -> None:
    """Until so many messages came, and were taken."""
    await until(lambda: consumer.stats.received == count and not consumer.stats.buffered)


async def failing(batch: MessageBatch, error: BaseException) -> None:
    async def work() -> None:
        async with batch:
            batch[0].finish()
            raise error

    with pytest.raises(type(error)):
        await work()


async def test_a_full_batch_is_handed_out_at_once() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=10) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        ids = [nsqd.message(b"%d" % n) for n in range(5)]
        batches = consumer.batches(max_messages=3, linger=60)
        async with asyncio.timeout(5):
            batch = await anext(batches)
        assert batch.bodies == [b"0", b"1", b"2"]
        assert [message.id for message in batch] == ids[:3]
        assert (len(batch), batch[0].body, [m.body for m in batch[1:]]) == (3, b"0", [b"1", b"2"])
        batch.settle()
        await nsqd.expect(*[f"FIN {i}" for i in ids[:3]])


async def test_a_batch_of_a_nearly_empty_channel_waits_no_longer_than_it_lingers() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=10) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        nsqd.message(b"only")
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.timeout(5):
            batch = await anext(consumer.batches(max_messages=3, linger=0.05))
        assert batch.bodies == [b"only"]
        assert loop.time() - began >= 0.04


async def test_a_batch_does_not_wait_for_messages_that_are_here_and_may_not_be_handed_out() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=10, rate=0.1) as consumer:
        await until(lambda: "RDY" in nsqd.verbs)
        for body in (b"now", b"in ten seconds"):
            nsqd.message(body)
        await until(lambda: consumer.stats.received == 2)
        async with asyncio.timeout(5):
            batch = await anext(consumer.batches(max_messages=3, linger=0.05))
        assert batch.bodies == [b"now"]
        assert consumer.stats.buffered == 1


async def test_a_batch_has_the_messages_around_one_that_had_all_its_attempts() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=10, attempts=2) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        for body, attempts in ((b"one", 1), (b"too often", 3), (b"three", 2), (b"four", 1)):
            nsqd.message(body, attempts=attempts)
        await until(lambda: consumer.stats.received == 4)
        async with asyncio.timeout(5):
            batch = await anext(consumer.batches(max_messages=3, linger=60))
        assert batch.bodies == [b"one", b"three", b"four"]
        assert consumer.stats.given_up == 1


async def test_a_batch_that_cannot_grow_is_handed_out_at_once() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=2) as consumer:
        await nsqd.expect(*OPENING, "RDY 2")
        for body in (b"one", b"two"):
            nsqd.message(body)
        async with asyncio.timeout(5):
            batch = await anext(consumer.batches(max_messages=100, linger=60))
        assert batch.bodies == [b"one", b"two"]


async def test_a_nsqd_that_cannot_send_more_is_not_waited_for_long() -> None:
    async with (
        FakeNsqd() as busy,
        FakeNsqd() as idle,
        make([busy.address, idle.address], max_in_flight=4) as consumer,
    ):
        await busy.until(lambda: "RDY 2" in busy.commands)
        await idle.until(lambda: "RDY 2" in idle.commands)
        for body in (b"one", b"two"):
            busy.message(body)
        async with asyncio.timeout(5):
            batch = await anext(consumer.batches(max_messages=100, linger=60))
        assert batch.bodies == [b"one", b"two"]


async def test_a_paused_consumer_does_not_keep_what_it_collected() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=10) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        nsqd.message(b"only")
        await until(lambda: consumer.stats.received == 1)
        consumer.pause()
        async with asyncio.timeout(5):
            assert (await anext(consumer.batches(max_messages=3, linger=60))).bodies == [b"only"]


async def test_some_of_a_batch_may_come_again() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=4, backoff=None) as consumer:
        await nsqd.expect(*OPENING, "RDY 4")
        ids = [nsqd.message(b"%d" % n) for n in range(4)]
        batch = await anext(consumer.batches(max_messages=4, linger=60))
        batch[3].requeue(5, backoff=False)
        batch.settle(requeue=[0, batch[2]], delay=7)
        await nsqd.expect(f"REQ {ids[3]} 5000", f"REQ {ids[0]} 7000", f"FIN {ids[1]}", f"REQ {ids[2]} 7000")


@pytest.mark.parametrize("place", [4, -1, 99])
async def test_what_is_not_in_the_batch_is_no_answer(place: int) -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=2) as consumer:
        await nsqd.expect(*OPENING, "RDY 2")
        nsqd.message()
        nsqd.message()
        batch = await anext(consumer.batches(max_messages=2, linger=60))
        with pytest.raises(ConfigError, match="not in this batch of 2"):
            batch.settle(requeue=[0, place])
        with pytest.raises(ConfigError, match="not in this batch"):
            MessageBatch([batch[0]]).settle(requeue=[batch[1]])
        nsqd.nothing_more()
        assert [message.state for message in batch] == ["held", "held"]


async def test_a_block_answers_all_that_was_not_answered_in_it() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=2, backoff=None) as consumer:
        await nsqd.expect(*OPENING, "RDY 2")
        batches = consumer.batches(max_messages=2, linger=60)

        async def next_batch() -> tuple[MessageBatch, list[str]]:
            ids = [nsqd.message(), nsqd.message()]
            return await anext(batches), ids

        batch, ids = await next_batch()
        async with batch:
            batch.touch()
        await nsqd.expect(*[f"TOUCH {i}" for i in ids], *[f"FIN {i}" for i in ids])
        batch, ids = await next_batch()
        await failing(batch, LookupError())
        await nsqd.expect(f"FIN {ids[0]}", f"REQ {ids[1]} 90000")
        batch, ids = await next_batch()
        await failing(batch, asyncio.CancelledError())
        await nsqd.expect(f"FIN {ids[0]}", f"REQ {ids[1]} 0")


async def test_cancelling_an_iteration_loses_nothing() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=10) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        batches = consumer.batches(max_messages=3, linger=60)
        nsqd.message(b"one")
        nsqd.message(b"two")
        task = asyncio.create_task(batches.__anext__())
        await collected(consumer, 2)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert consumer.stats.buffered == 2
        nsqd.message(b"three")
        async with asyncio.timeout(5):
            assert (await anext(batches)).bodies == [b"one", b"two", b"three"]


async def test_the_iteration_ends_with_the_consumer_and_what_was_collected_goes_back() -> None:
    async with FakeNsqd() as nsqd:
        async with make(nsqd.address, max_in_flight=10, drain=30) as consumer:
            await nsqd.expect(*OPENING, "RDY 10")
            message_id = nsqd.message()

            async def collect() -> list[MessageBatch]:
                return [batch async for batch in consumer.batches(max_messages=3, linger=60)]

            task = asyncio.create_task(collect())
            await collected(consumer, 1)
            consumer.stop()
            async with asyncio.timeout(5):
                assert await task == []
        await nsqd.expect("CLS", f"REQ {message_id} 0")


async def test_what_is_lost_while_a_batch_is_collected_is_not_in_it() -> None:
    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=10) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        nsqd.message(b"lost")
        batches = consumer.batches(max_messages=2, linger=60)
        task = asyncio.create_task(batches.__anext__())
        await collected(consumer, 1)
        nsqd.link.drop()
        await nsqd.until(lambda: nsqd.commands.count("RDY 10") == 2)
        nsqd.message(b"one")
        nsqd.message(b"two")
        nsqd.message(b"three")
        async with asyncio.timeout(5):
            bodies = (await task).bodies
            bodies += (await anext(batches)).bodies
        assert bodies == [b"one", b"two", b"three"]


async def test_batches_are_handled_several_at_a_time() -> None:
    sizes: list[int] = []
    both = asyncio.Event()
    let_go = asyncio.Event()

    async def handler(batch: MessageBatch) -> None:
        sizes.append(len(batch))
        if len(sizes) == 2:
            both.set()
        await let_go.wait()

    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=10) as consumer:
        await nsqd.expect(*OPENING, "RDY 10")
        task = asyncio.create_task(consumer.run_batches(handler, max_messages=5, linger=60, concurrency=2))
        ids = [nsqd.message() for _ in range(10)]
        async with asyncio.timeout(5):
            await both.wait()
        assert sizes == [5, 5]
        let_go.set()
        await nsqd.until(lambda: nsqd.verbs.count("FIN") == 10)
        assert sorted(nsqd.commands[-10:]) == sorted(f"FIN {i}" for i in ids)
        consumer.stop()
        await task


async def test_a_batch_whose_handler_fails_comes_again(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(batch: MessageBatch) -> None:
        raise LookupError("not today")

    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=2, backoff=None) as consumer:
        await nsqd.expect(*OPENING, "RDY 2")
        task = asyncio.create_task(consumer.run_batches(handler, max_messages=2, linger=60))
        ids = [nsqd.message(), nsqd.message()]
        await nsqd.expect(*[f"REQ {i} 90000" for i in ids])
        consumer.stop()
        await task
    assert "handling a batch of 2 messages of topic t failed" in caplog.text
    assert "not today" in caplog.text


async def test_batches_may_be_handled_in_a_thread() -> None:
    seen: list[list[bytes]] = []

    def handler(batch: MessageBatch) -> None:
        seen.append(batch.bodies)
        batch.settle(requeue=[1], delay=3)

    async with FakeNsqd() as nsqd, make(nsqd.address, max_in_flight=2, backoff=None) as consumer:
        await nsqd.expect(*OPENING, "RDY 2")
        task = asyncio.create_task(consumer.run_batches(handler, max_messages=2, linger=60))
        ids = [nsqd.message(b"one"), nsqd.message(b"two")]
        await nsqd.expect(f"FIN {ids[0]}", f"REQ {ids[1]} 3000")
        consumer.stop()
        await task
    assert seen == [[b"one", b"two"]]


def test_wrong_sizes_are_refused() -> None:
    consumer = make("127.0.0.1:1")
    for settings in ({"max_messages": 0, "linger": 1}, {"max_messages": 1, "linger": -1}):
        with pytest.raises(ConfigError):
            consumer.batches(**settings)
