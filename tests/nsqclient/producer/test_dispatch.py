"""What is known of a publish that did not go well."""

from __future__ import annotations

import asyncio

import pytest

from nsqclient import (
    Backlogged,
    Closed,
    FullJitter,
    Lookup,
    NoNodes,
    Producer,
    PublishNotSent,
    PublishRejected,
    PublishTimeout,
    PublishUnknown,
    RetryPolicy,
)
from nsqclient.producer.parcels import Parcel
from tests.nsqclient.producers import QUICK, start, until
from tests.support.fake_lookupd import FakeLookupd
from tests.support.fake_nsqd import FakeNsqd, drop, refuse, silence


async def test_a_refused_message_is_rejected() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=QUICK) as producer:
        nsqd.script("PUB", refuse("E_BAD_TOPIC PUB topic name is not valid"))
        with pytest.raises(PublishRejected, match="topic name is not valid") as caught:
            await producer.publish("t", b"x")
        error = caught.value
        assert (error.outcome, error.code, error.node) == ("rejected", "E_BAD_TOPIC", nsqd.address)
        assert error.attempts == 1
        assert producer.stats.rejected == 1


async def test_a_node_with_troubles_of_its_own_passes_the_message_to_another() -> None:
    async with FakeNsqd() as full, FakeNsqd() as fine:
        full.always("PUB", refuse("E_PUB_FAILED PUB failed no space left on device"))
        async with Producer([full.address, fine.address], retry=QUICK) as producer:
            await until(lambda: producer.stats.connections == 2)
            receipts = await asyncio.gather(*(producer.publish("t", b"%d" % n) for n in range(20)))
        assert {receipt.nodes for receipt in receipts} == {(fine.address,)}
        assert sorted(c for c in fine.commands if c != "IDENTIFY") == sorted(f"PUB t {n}" for n in range(20))


async def test_troubles_of_all_nodes_end_after_the_allowed_attempts() -> None:
    async with FakeNsqd() as nsqd:
        nsqd.always("DPUB", refuse("E_DPUB_FAILED DPUB failed exiting"))
        retry = RetryPolicy(attempts=3, backoff=QUICK.backoff)
        async with Producer(nsqd.address, retry=retry) as producer:
            with pytest.raises(PublishRejected) as caught:
                await producer.publish("t", b"x", delay=1)
        assert (caught.value.code, caught.value.attempts) == ("E_DPUB_FAILED", 3)
        assert nsqd.verbs.count("DPUB") == 3


async def test_a_batch_that_failed_half_way_is_unknown() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=QUICK) as producer:
        nsqd.script("MPUB", refuse("E_MPUB_FAILED MPUB failed disk"))
        with pytest.raises(PublishUnknown) as caught:
            await producer.publish_many("t", [b"a", b"b"])
        assert (caught.value.outcome, caught.value.code) == ("unknown", "E_MPUB_FAILED")
        assert producer.stats.unknown == 1


async def test_retries_of_lost_answers_are_limited() -> None:
    retry = RetryPolicy(attempts=2, on_unknown="retry", backoff=QUICK.backoff)
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=retry) as producer:
        nsqd.always("PUB", drop)
        with pytest.raises(PublishUnknown) as caught:
            await producer.publish("t", b"1")
        assert caught.value.attempts == 2


async def test_no_answer_in_time_is_a_timeout_with_an_unknown_outcome() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address) as producer:
        nsqd.script("PUB", silence)
        with pytest.raises(PublishTimeout, match="got no answer in time") as caught:
            await producer.publish("t", b"1", timeout=0.05)
        assert isinstance(caught.value, TimeoutError)
        assert (caught.value.outcome, caught.value.node) == ("unknown", nsqd.address)
        assert producer.stats.pending == 0
        # the late answer belongs to the first, and until it comes the nsqd is passed over
        second = start(producer, b"2")[0]
        nsqd.script("PUB", silence)
        await nsqd.expect("IDENTIFY", "PUB t 1")
        nsqd.link.heartbeat()
        await nsqd.until(lambda: nsqd.link.nops == 1)
        nsqd.nothing_more()
        nsqd.link.ok()
        await nsqd.expect("PUB t 2")
        assert not second.done()
        nsqd.link.ok()
        await second
        assert producer.stats.pending == 0


async def test_without_any_nsqd_the_timeout_says_why() -> None:
    async with FakeNsqd() as nsqd:
        address = nsqd.address
    async with Producer(address, retry=QUICK) as producer:
        with pytest.raises(NoNodes, match="refused") as caught:
            await producer.publish("t", b"x", timeout=0.1)
        assert isinstance(caught.value, PublishNotSent)
        assert caught.value.outcome == "not_sent"
        assert caught.value.__cause__ is not None
        assert producer.stats.not_sent == 1
        assert producer.stats.pending == 0


async def test_without_any_known_nsqd_there_are_no_nodes() -> None:
    async with FakeLookupd() as lookupd, Producer(Lookup(lookupd.url)) as producer:
        with pytest.raises(NoNodes, match="no nsqd of Lookup"):
            await producer.publish("t", b"x", timeout=0.05)


async def test_what_could_not_be_written_in_time_was_not_sent() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, close_timeout=0) as producer:
        await until(lambda: producer.stats.connections == 1)
        nsqd.link.stop_reading()
        large = start(producer, *[b"x" * (1 << 20)] * 32, timeout=0.3)
        results = await asyncio.gather(*large, return_exceptions=True)
        outcomes = {result.outcome for result in results if isinstance(result, PublishTimeout)}
        assert outcomes == {"unknown", "not_sent"}
        nsqd.link.drop()


async def test_a_timeout_after_an_attempt_with_a_lost_answer_is_unknown() -> None:
    retry = RetryPolicy(on_unknown="retry", backoff=FullJitter(1000, cap=1000))
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=retry, chance=lambda: 1.0) as producer:
        nsqd.script("PUB", drop)
        with pytest.raises(PublishTimeout) as caught:
            await producer.publish("t", b"x", timeout=0.1)
        assert caught.value.outcome == "unknown"


async def test_a_full_producer_makes_callers_wait_and_then_says_so() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, max_pending=2) as producer:
        nsqd.script("PUB", silence, silence)
        first, second = start(producer, b"1", b"2")
        await nsqd.expect("IDENTIFY", "PUB t 1", "PUB t 2")
        with pytest.raises(Backlogged) as caught:
            await producer.publish("t", b"3", timeout=0.05)
        assert caught.value.outcome == "not_sent"
        (fourth,) = start(producer, b"4")
        nsqd.link.ok()
        await nsqd.expect("PUB t 4")
        nsqd.link.ok()
        await asyncio.gather(first, second, fourth)


async def test_bytes_are_limited_too() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, max_pending_bytes=1000) as producer:
        nsqd.script("PUB", silence)
        (first,) = start(producer, b"x" * 900)
        await nsqd.until(lambda: "PUB" in nsqd.verbs)
        with pytest.raises(Backlogged):
            await producer.publish("t", b"x" * 200, timeout=0.05)
        nsqd.link.ok()
        await first


# ---- cancelling


async def test_a_publish_cancelled_before_it_was_written_is_not_sent() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address) as producer:
        await until(lambda: producer.stats.connections == 1)
        (first, task) = start(producer, b"1", b"2")
        await asyncio.sleep(0)  # it is queued, and would be written in the next turn
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value.__notes__ == ["the publish to topic t was not sent (outcome: not_sent)"]
        await first
        await producer.publish("t", b"3")
        await nsqd.expect("IDENTIFY", "PUB t 1", "PUB t 3")
        assert producer.stats.not_sent == 1


async def test_a_publish_cancelled_while_nobody_is_connected_is_forgotten() -> None:
    nsqd = FakeNsqd()
    await nsqd.start()
    await nsqd.stop()
    async with Producer(nsqd.address, retry=QUICK) as producer:
        (task,) = start(producer, b"1")
        await until(lambda: producer.stats.pending == 1)
        task.cancel()
        await asyncio.wait([task])
        assert producer.stats.pending == 0
        await nsqd.start()
        await producer.publish("t", b"2")
        await nsqd.expect("IDENTIFY", "PUB t 2")
        await nsqd.stop()


async def test_a_publish_cancelled_after_it_was_written_may_be_stored() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address) as producer:
        nsqd.script("PUB", silence)
        (task,) = start(producer, b"1")
        await nsqd.expect("IDENTIFY", "PUB t 1")
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert "may be stored" in caught.value.__notes__[0]
        second = start(producer, b"2")[0]
        nsqd.script("PUB", silence)
        await nsqd.expect("PUB t 2")
        nsqd.link.ok()  # the answer to the first
        await until(lambda: producer.stats.pending == 1)
        assert not second.done()
        nsqd.link.ok()
        await second


async def test_a_publish_cancelled_as_its_answer_comes_says_that_it_is_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address) as producer:
        assert producer._dispatch is not None
        acked = producer._dispatch._answers.acked

        def acked_and_cancelled(parcels: list[Parcel]) -> None:
            acked(parcels)
            task.cancel()

        monkeypatch.setattr(producer._dispatch._answers, "acked", acked_and_cancelled)
        (task,) = start(producer, b"1")
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert "is stored by" in caught.value.__notes__[0]
        assert producer.stats.stored == 1


async def test_a_timeout_around_a_publish_works() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address) as producer:
        nsqd.script("PUB", silence)
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.05):
                await producer.publish("t", b"1")
        assert "may be stored" in caught.value.__cause__.__notes__[0]  # type: ignore[union-attr]
        nsqd.link.ok()


async def test_what_was_cancelled_is_not_sent_again() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=QUICK) as producer:
        await producer.publish("t", b"0")
        nsqd.script("PUB", silence, silence, silence)
        bad, cancelled, good = start(producer, b"bad", b"cancelled", b"good")
        await nsqd.expect("IDENTIFY", "PUB t 0", "PUB t bad", "PUB t cancelled", "PUB t good")
        cancelled.cancel()
        await asyncio.wait([cancelled])
        nsqd.link.error("E_BAD_MESSAGE PUB failed")
        await nsqd.expect("IDENTIFY", "PUB t good")
        await good
        with pytest.raises(PublishRejected):
            await bad
        assert producer.stats.pending == 0


# ---- closing


async def test_closing_fails_what_has_no_outcome_in_time() -> None:
    async with FakeNsqd() as nsqd:
        nsqd.always("PUB", silence)
        async with Producer(nsqd.address, close_timeout=0.05, max_pending=1) as producer:
            (written,) = start(producer, b"1")
            await nsqd.expect("IDENTIFY", "PUB t 1")
            (waiting,) = start(producer, b"2")
            await asyncio.sleep(0)
        with pytest.raises(PublishUnknown, match="was closed before nsqd answered"):
            await written
        with pytest.raises(Closed):
            await waiting


async def test_closing_without_a_connection_fails_as_not_sent() -> None:
    async with FakeNsqd() as nsqd:
        address = nsqd.address
    async with Producer(address, close_timeout=0.05) as producer:
        (task,) = start(producer, b"1")
        await until(lambda: producer.stats.pending == 1)
    with pytest.raises(PublishNotSent):
        await task


async def test_cancelling_the_close_cuts_the_waiting_short() -> None:
    async with FakeNsqd() as nsqd:
        nsqd.always("PUB", silence)
        async with Producer(nsqd.address) as producer:
            (written,) = start(producer, b"1", timeout=1000)
            await nsqd.expect("IDENTIFY", "PUB t 1")
            closing = asyncio.create_task(producer.close(1000))
            await asyncio.sleep(0)
            closing.cancel()
            async with asyncio.timeout(5):
                await asyncio.wait([closing])
            assert closing.cancelled()
        with pytest.raises(PublishUnknown):
            await written


async def test_a_publish_cancelled_between_two_attempts_holds_no_room() -> None:
    retry = RetryPolicy(on_unknown="retry", backoff=FullJitter(30, cap=30))
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=retry, chance=lambda: 0.9) as producer:
        nsqd.script("PUB", drop)
        (task,) = start(producer, b"x", timeout=60)
        await nsqd.expect("IDENTIFY", "PUB t x")
        await until(lambda: producer.stats.connections == 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert "may be stored (outcome: unknown)" in caught.value.__notes__[0]
        assert producer.stats.pending == 0
        report = await anext(producer.reports())
        assert report.abandoned
        assert isinstance(report.error, PublishUnknown)
