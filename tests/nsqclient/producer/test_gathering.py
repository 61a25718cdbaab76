"""Batches: what is published within a moment leaves as one MPUB, and each caller has its own result."""

from __future__ import annotations

import asyncio

import pytest

from nsqclient import (
    Backlogged,
    Batch,
    ConfigError,
    ConnectionOptions,
    Limits,
    Producer,
    PublishRejected,
    PublishTimeout,
    PublishUnknown,
    RetryPolicy,
    Routing,
)
from tests.nsqclient.producers import QUICK, start, until
from tests.support.fake_nsqd import FakeNsqd, drop, refuse, silence

SOON = Batch(linger=0.005)


async def test_publishes_of_one_topic_leave_together() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, batch=SOON) as producer:
        one, two, other = await asyncio.gather(
            producer.publish("t", b"1"), producer.publish("t", b"2"), producer.publish("u", b"3")
        )
        await producer.publish("t", b"alone")
        await nsqd.expect("IDENTIFY", "MPUB t 1 2", "PUB u 3", "PUB t alone")
        assert (one.count, two.count, other.count) == (1, 1, 1)
        assert producer.stats.stored == 4


async def test_submits_are_gathered_as_well_and_a_flush_does_not_linger() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, batch=Batch(linger=60)) as producer:
        for n in range(3):
            await producer.submit("t", b"%d" % n)
        await producer.flush()
        await nsqd.expect("IDENTIFY", "MPUB t 0 1 2")


async def test_leaving_the_block_does_not_linger() -> None:
    async with FakeNsqd() as nsqd:
        async with Producer(nsqd.address, batch=Batch(linger=60)) as producer:
            await producer.submit("t", b"1")
        await nsqd.expect("IDENTIFY", "PUB t 1")
        assert producer.stats.stored == 1


async def test_a_batch_that_is_full_leaves_at_once() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, batch=Batch(linger=60, max_messages=2)) as producer:
        await asyncio.gather(*start(producer, b"1", b"2", b"3", b"4"))
        await nsqd.expect("IDENTIFY", "MPUB t 1 2", "MPUB t 3 4")


@pytest.mark.parametrize("limit", ["batch", "body"])
async def test_the_bytes_of_a_batch_are_limited(limit: str) -> None:
    # two messages of 10 bytes take 4 + 2 * 14 = 32
    batch = Batch(linger=60, max_bytes=32 if limit == "batch" else 1 << 20)
    options = ConnectionOptions(limits=Limits(max_body_size=32 if limit == "body" else 5 << 20))
    async with FakeNsqd() as nsqd, Producer(nsqd.address, batch=batch, options=options) as producer:
        await producer.submit("t", b"a" * 9)
        await producer.submit("t", b"b" * 11)
        await producer.submit("t", b"c" * 9)
        await producer.flush()
        await nsqd.expect("IDENTIFY", "MPUB t aaaaaaaaa bbbbbbbbbbb", "PUB t ccccccccc")


async def test_a_message_that_is_too_large_for_a_batch_goes_alone() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, batch=Batch(linger=60, max_bytes=9)) as producer:
        await producer.publish("t", b"longer than the batch")
        await nsqd.expect("IDENTIFY", "PUB t longer than the batch")


async def test_a_delayed_message_is_not_held_up() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, batch=Batch(linger=60)) as producer:
        await producer.publish("t", b"later", delay=1)
        await nsqd.expect("IDENTIFY", "DPUB t 1000 later")


async def test_a_refused_batch_is_sent_one_by_one_and_only_the_bad_one_fails() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, batch=SOON, retry=QUICK) as producer:
        nsqd.script("MPUB", refuse("E_BAD_MESSAGE MPUB invalid message(1) body size 1"))
        nsqd.script("PUB", lambda link: link.ok(), refuse("E_BAD_MESSAGE PUB no"))
        one, bad, three = start(producer, b"1", b"bad", b"3")
        with pytest.raises(PublishRejected):
            await bad
        await asyncio.gather(one, three)
        await nsqd.expect("IDENTIFY", "MPUB t 1 bad 3", "IDENTIFY", "PUB t 1")
        assert nsqd.commands.count("PUB t 1") == 1


async def test_a_batch_refused_for_its_topic_fails_whole() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, batch=SOON, retry=QUICK) as producer:
        nsqd.script("MPUB", refuse("E_BAD_TOPIC MPUB no"))
        results = await asyncio.gather(*start(producer, b"1", b"2"), return_exceptions=True)
        assert [type(result) for result in results] == [PublishRejected] * 2
        assert results[0] is not results[1]
        assert "PUB" not in nsqd.verbs


@pytest.mark.parametrize("fate", ["half way", "lost"])
async def test_a_batch_of_unknown_fate_is_not_split(fate: str) -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, batch=SOON, retry=QUICK) as producer:
        nsqd.script("MPUB", drop if fate == "lost" else refuse("E_MPUB_FAILED MPUB failed"))
        results = await asyncio.gather(*start(producer, b"1", b"2"), return_exceptions=True)
        assert [type(result) for result in results] == [PublishUnknown] * 2
        assert nsqd.verbs.count("MPUB") == 1
        assert "PUB" not in nsqd.verbs


async def test_a_batch_is_sent_again_whole_where_that_is_allowed() -> None:
    retry = RetryPolicy(on_unknown="retry", backoff=QUICK.backoff)
    async with FakeNsqd() as nsqd, Producer(nsqd.address, batch=SOON, retry=retry) as producer:
        nsqd.script("MPUB", drop)
        receipts = await asyncio.gather(*start(producer, b"1", b"2"))
        assert [receipt.attempts for receipt in receipts] == [2, 2]
        await nsqd.expect("IDENTIFY", "MPUB t 1 2", "IDENTIFY", "MPUB t 1 2")


async def test_who_is_cancelled_while_the_batch_waits_is_left_out() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, batch=Batch(linger=60)) as producer:
        one, two, three = start(producer, b"1", b"2", b"3")
        await until(lambda: producer.stats.pending == 3)
        two.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await two
        assert "was not sent" in caught.value.__notes__[0]
        await producer.flush()
        await asyncio.gather(one, three)
        await nsqd.expect("IDENTIFY", "MPUB t 1 3")


async def test_who_is_cancelled_before_the_write_is_left_out() -> None:
    nsqd = FakeNsqd()
    await nsqd.start()
    await nsqd.stop()
    async with Producer(nsqd.address, batch=Batch(linger=0.001), retry=QUICK) as producer:
        assert producer._dispatch is not None
        one, two, three = start(producer, b"1", b"2", b"3")
        await until(lambda: producer._dispatch is not None and len(producer._dispatch._sending._queue) == 1)
        two.cancel()
        await asyncio.wait([two])
        await nsqd.start()
        await asyncio.gather(one, three)
        await nsqd.expect("IDENTIFY", "MPUB t 1 3")
        await nsqd.stop()


async def test_one_of_a_batch_may_run_out_of_time_alone() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, batch=SOON) as producer:
        nsqd.script("MPUB", silence)
        (hasty,) = start(producer, b"1", timeout=0.05)
        (calm,) = start(producer, b"2")
        with pytest.raises(PublishTimeout) as caught:
            await hasty
        assert (caught.value.outcome, caught.value.node) == ("unknown", nsqd.address)
        nsqd.link.ok()
        await calm


async def test_batches_and_copies_can_not_be_combined() -> None:
    with pytest.raises(ConfigError, match="batch and copies"):
        Producer("127.0.0.1:1", batch=SOON, routing=Routing(copies=2), headers="auto")


@pytest.mark.parametrize("settings", [{"linger": -1}, {"max_messages": 0}, {"max_bytes": 1}])
def test_wrong_settings_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        Batch(**settings)


async def test_one_that_is_cancelled_as_the_batch_leaves_was_not_sent_and_holds_no_room() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, batch=Batch(linger=60, max_messages=3)) as producer:
        await until(lambda: producer.stats.connections == 1)
        first, second = start(producer, b"1", b"2")
        await asyncio.sleep(0)
        (third,) = start(producer, b"3")
        await asyncio.sleep(0)  # the batch is full, and leaves at the end of this turn
        first.cancel()
        await asyncio.gather(second, third)
        with pytest.raises(asyncio.CancelledError) as caught:
            await first
        assert "was not sent" in caught.value.__notes__[0]
        assert producer.stats.pending == 0
        await nsqd.expect("IDENTIFY", "MPUB t 2 3")


async def test_a_nsqd_that_answers_no_batch_is_passed_over() -> None:
    async with FakeNsqd() as deaf, FakeNsqd() as good:
        deaf.script("MPUB", silence)
        async with Producer([deaf.address, good.address], batch=Batch(linger=0, max_messages=2)) as producer:
            await until(lambda: producer.stats.connections == 2)
            lost = await asyncio.gather(*start(producer, *[b"x"] * 4, timeout=0.05), return_exceptions=True)
            assert sum(isinstance(result, PublishTimeout) for result in lost) == 2
            for _ in range(4):
                receipts = await asyncio.gather(*start(producer, b"a", b"b", timeout=1))
                assert {receipt.nodes for receipt in receipts} == {(good.address,)}


async def test_who_waits_for_room_lets_batches_leave() -> None:
    async with (
        FakeNsqd() as nsqd,
        Producer(nsqd.address, max_pending=2, batch=Batch(linger=60)) as producer,
    ):
        await producer.submit("t", b"1")
        await producer.submit("t", b"2")
        third = await producer.submit("t", b"3")
        await nsqd.expect("IDENTIFY", "MPUB t 1 2")
        await until(lambda: producer.stats.pending == 1)
        fourth = producer.submit_nowait("t", b"4")
        with pytest.raises(Backlogged):
            producer.submit_nowait("t", b"5")
        await third
        await fourth
        await nsqd.expect("MPUB t 3 4")


async def test_a_batch_leaves_while_there_is_time_to_send_it() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, batch=Batch(linger=60), timeout=0.5) as producer:
        await until(lambda: producer.stats.connections == 1)
        await asyncio.gather(*start(producer, b"1", b"2", timeout=0.5))
        await nsqd.expect("IDENTIFY", "MPUB t 1 2")
