"""Answers belong to publishes in order, and what is known of those that got none."""

from __future__ import annotations

import asyncio

import pytest

from nsqclient import Producer, PublishRejected, PublishUnknown, RetryPolicy
from tests.nsqclient.producers import QUICK, start, until
from tests.support.fake_nsqd import FakeNsqd, drop, ok, refuse


async def test_what_was_queued_behind_a_refused_message_is_sent_again_unasked() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=QUICK) as producer:
        await producer.publish("t", b"first")
        nsqd.script("PUB", ok, refuse("E_BAD_MESSAGE PUB failed"))
        good, bad, *behind = start(producer, b"good", b"bad", b"1", b"2", b"3")
        await nsqd.expect("IDENTIFY", "PUB t first", "PUB t good", "PUB t bad")
        await nsqd.expect("IDENTIFY", "PUB t 1", "PUB t 2", "PUB t 3")
        await asyncio.gather(good, *behind)
        with pytest.raises(PublishRejected):
            await bad
        assert producer.stats.stored == 5


async def test_a_lost_answer_is_unknown() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=QUICK) as producer:
        nsqd.script("PUB", ok, drop)
        first, second, third = start(producer, b"1", b"2", b"3")
        await first
        for task in (second, third):
            with pytest.raises(PublishUnknown, match="the answer was lost") as caught:
                await task
            assert caught.value.node == nsqd.address
        await producer.publish("t", b"4")


async def test_a_lost_answer_may_be_retried_when_duplicates_are_harmless() -> None:
    retry = RetryPolicy(on_unknown="retry", backoff=QUICK.backoff)
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=retry) as producer:
        nsqd.script("PUB", drop)
        tasks = start(producer, b"1", b"2")
        await nsqd.expect("IDENTIFY", "PUB t 1")
        receipts = await asyncio.gather(*tasks)
        assert [receipt.attempts for receipt in receipts] == [2, 2]
        await nsqd.until(lambda: nsqd.verbs.count("PUB") >= 3)
        assert nsqd.commands[-2:] == ["PUB t 1", "PUB t 2"], "in their order"


@pytest.mark.parametrize("answer", [b"CLOSE_WAIT", b"OK"])
async def test_an_answer_to_nothing_ends_the_connection(answer: bytes) -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=QUICK) as producer:
        await until(lambda: producer.stats.connections == 1)
        first = nsqd.link
        first.send(0, answer)
        async with asyncio.timeout(5):
            await first.gone.wait()
        await producer.publish("t", b"x")


async def test_a_refusal_after_a_lost_answer_is_unknown_still() -> None:
    retry = RetryPolicy(on_unknown="retry", backoff=QUICK.backoff)
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=retry) as producer:
        nsqd.script("PUB", drop, refuse("E_UNAUTHORIZED AUTH failed for PUB"))
        with pytest.raises(PublishUnknown) as caught:
            await producer.publish("t", b"x")
        assert caught.value.code == "E_UNAUTHORIZED"
