from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from nsqclient import (
    Closed,
    CodecError,
    ConfigError,
    ConnectionOptions,
    DelayOutOfRange,
    EmptyMessage,
    FullJitter,
    InvalidName,
    Limits,
    Lookup,
    MessageTooLarge,
    NoNodes,
    Producer,
    Receipt,
    RetryPolicy,
)
from nsqclient.producer import producer as producer_module
from nsqclient.producer.counts import ProducerStats
from tests.nsqclient.producers import QUICK, until
from tests.support.fake_lookupd import FakeLookupd
from tests.support.fake_nsqd import FakeNsqd, silence


async def test_a_message_is_published_and_confirmed() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address) as producer:
        receipt = await producer.publish("t", b"body")
        await nsqd.expect("IDENTIFY", "PUB t body")
        assert receipt.topic == "t"
        assert receipt.nodes == (nsqd.address,)
        assert (receipt.count, receipt.attempts) == (1, 1)
        assert receipt.queued_at <= receipt.acked_at <= asyncio.get_running_loop().time()


async def test_a_delay_defers() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address) as producer:
        await producer.publish("t", b"later", delay=1.5)
        await producer.publish("t", b"now", delay=0)
        await nsqd.expect("IDENTIFY", "DPUB t 1500 later", "PUB t now")


async def test_several_messages_are_one_command() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address) as producer:
        receipt = await producer.publish_many("t", [b"a", bytearray(b"b"), memoryview(b"c")])
        await nsqd.expect("IDENTIFY", "MPUB t a b c")
        assert receipt.count == 3


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda p: p.publish("bad name", b"x"), InvalidName),
        (lambda p: p.publish("t", b""), EmptyMessage),
        (lambda p: p.publish("t", b"x" * 11), MessageTooLarge),
        (lambda p: p.publish("t", b"x", delay=61), DelayOutOfRange),
        (lambda p: p.publish("t", b"x", timeout=0), ConfigError),
        (lambda p: p.publish("t", ""), EmptyMessage),
        (lambda p: p.publish("t", object()), CodecError),
        (lambda p: p.publish("t", b"x", key="k"), ConfigError),
        (lambda p: p.publish("t", b"x", headers={"a": "b"}), ConfigError),
        (lambda p: p.publish_many("t", []), EmptyMessage),
        (lambda p: p.publish_many("t", [b"x", b""]), EmptyMessage),
        (lambda p: p.publish_many("t", [b"x" * 9] * 3), MessageTooLarge),
        (lambda p: p.publish_many("t", b"x"), TypeError),
    ],
)
async def test_what_can_not_be_published_is_refused_before_a_byte_is_sent(
    call: Callable[[Producer], Awaitable[Receipt]], error: type[Exception]
) -> None:
    options = ConnectionOptions(limits=Limits(max_msg_size=10, max_body_size=40, max_delay=60))
    async with FakeNsqd() as nsqd, Producer(nsqd.address, options=options) as producer:
        with pytest.raises(error):
            await call(producer)
        await producer.publish("t", b"fine")
        await nsqd.expect("IDENTIFY", "PUB t fine")


async def test_a_producer_is_used_with_a_block() -> None:
    producer = Producer("127.0.0.1:1")
    with pytest.raises(Closed, match="async with"):
        await producer.publish("t", b"x")


async def test_many_publishes_are_under_way_at_once_and_keep_their_order() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address) as producer:
        held: list[Callable[[], None]] = []
        nsqd.always("PUB", lambda link: held.append(link.ok))
        tasks = [asyncio.create_task(producer.publish("t", b"%d" % n)) for n in range(100)]
        await nsqd.expect("IDENTIFY", *[f"PUB t {n}" for n in range(100)])
        assert not any(task.done() for task in tasks)
        for answer in held[:50]:
            answer()
        await asyncio.gather(*tasks[:50])
        assert not any(task.done() for task in tasks[50:])
        for answer in held[50:]:
            answer()
        await asyncio.gather(*tasks)


async def test_publishing_before_there_is_a_connection_waits() -> None:
    nsqd = FakeNsqd()
    await nsqd.start()
    await nsqd.stop()
    async with Producer(nsqd.address, retry=QUICK) as producer:
        task = asyncio.create_task(producer.publish("t", b"x"))
        await until(lambda: producer.stats.pending == 1)
        await nsqd.start()
        await task
        await nsqd.stop()


async def test_it_reconnects_when_nsqd_comes_back() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address, retry=QUICK) as producer:
        await producer.publish("t", b"1")
        await nsqd.stop()
        await until(lambda: producer.stats.connections == 0)
        await nsqd.start()
        receipt = await producer.publish("t", b"2")
        assert receipt.attempts == 1
        await nsqd.expect("IDENTIFY", "PUB t 1", "IDENTIFY", "PUB t 2")


async def test_nodes_take_turns() -> None:
    async with FakeNsqd() as one, FakeNsqd() as two, Producer([one.address, two.address]) as producer:
        await until(lambda: producer.stats.connections == 2)
        for _ in range(10):
            await producer.publish("t", b"x")
        assert (one.verbs.count("PUB"), two.verbs.count("PUB")) == (5, 5)


async def test_when_a_node_is_down_the_others_take_everything() -> None:
    async with (
        FakeNsqd() as one,
        FakeNsqd() as two,
        Producer([one.address, two.address], retry=QUICK) as producer,
    ):
        await until(lambda: producer.stats.connections == 2)
        await one.stop()
        await until(lambda: producer.stats.connections == 1)
        for _ in range(10):
            receipt = await producer.publish("t", b"x")
            assert receipt.nodes == (two.address,)


async def test_a_node_that_does_not_read_is_passed_over() -> None:
    async with (
        FakeNsqd() as slow,
        FakeNsqd() as quick,
        Producer([slow.address, quick.address], close_timeout=0.1) as producer,
    ):
        await until(lambda: producer.stats.connections == 2)
        slow.link.stop_reading()
        tasks = [asyncio.create_task(producer.publish("t", b"x" * (1 << 20))) for _ in range(64)]
        await until(lambda: sum(task.done() for task in tasks) >= 40)
        assert {task.result().nodes for task in tasks if task.done()} == {(quick.address,)}
        slow.link.drop()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_nodes_are_found_by_nsqlookupds_whatever_topics_they_have() -> None:
    async with FakeNsqd() as one, FakeNsqd() as two, FakeLookupd() as a, FakeLookupd() as b:
        a.nodes, b.nodes = [one.address], [two.address]
        async with Producer(Lookup(a.url, b.url)) as producer:
            await until(lambda: producer.stats.connections == 2)
            receipts = [await producer.publish("t", b"x") for _ in range(2)]
            assert {receipt.nodes for receipt in receipts} == {(one.address,), (two.address,)}


async def test_the_last_known_nodes_are_kept_when_all_nsqlookupds_fail() -> None:
    async with FakeNsqd() as nsqd, FakeLookupd() as lookupd:
        lookupd.nodes = [nsqd.address]
        target = Lookup(lookupd.url, poll_interval=0.01, drop_missing_after=0)
        async with Producer(target, retry=QUICK) as producer:
            await producer.publish("t", b"1")
            lookupd.status = 500
            await nsqd.stop()
            await lookupd.asked(len(lookupd.requests) + 2)
            await nsqd.start()
            await producer.publish("t", b"2")


async def test_a_lost_connection_is_asked_about() -> None:
    async with FakeNsqd() as gone, FakeNsqd() as new, FakeLookupd() as lookupd:
        lookupd.nodes = [gone.address]
        async with Producer(Lookup(lookupd.url), retry=QUICK) as producer:
            await producer.publish("t", b"1")
            lookupd.nodes = [new.address]
            await gone.stop()
            await until(lambda: producer.stats.connections == 0)
            receipt = await producer.publish("t", b"2")
            assert receipt.nodes == (new.address,)


async def test_a_nsqd_that_is_named_again_is_published_to_at_once() -> None:
    async with FakeNsqd() as nsqd, FakeLookupd() as lookupd:
        lookupd.nodes = [nsqd.address]
        await nsqd.stop()
        retry = RetryPolicy(backoff=FullJitter(1000, cap=1000))
        target = Lookup(lookupd.url, poll_interval=0.01)
        async with Producer(target, retry=retry, chance=lambda: 1.0) as producer:
            await lookupd.asked(1)
            lookupd.nodes = []
            await lookupd.asked(len(lookupd.requests) + 3)
            await nsqd.start()
            lookupd.nodes = [nsqd.address]
            await producer.publish("t", b"x")


async def test_a_nsqd_that_is_gone_for_good_is_forgotten() -> None:
    async with FakeNsqd() as nsqd, FakeLookupd() as lookupd:
        lookupd.nodes = [nsqd.address]
        target = Lookup(lookupd.url, poll_interval=0.01, drop_missing_after=0)
        async with Producer(target, retry=QUICK) as producer:
            await producer.publish("t", b"x")
            lookupd.nodes = []
            await nsqd.stop()
            await lookupd.asked(len(lookupd.requests) + 3)
            await nsqd.start()
            with pytest.raises(NoNodes):
                await producer.publish("t", b"x", timeout=0.05)


async def test_stats_tell_what_became_of_publishes() -> None:
    async with FakeNsqd() as nsqd, Producer(nsqd.address) as producer:
        await producer.publish("t", b"x")
        await producer.publish_many("t", [b"x", b"y"])
        assert producer.stats == ProducerStats(2, 0, 0, 0, 0, 0, 1, 0)
        assert repr(producer) == f"<Producer Nsqd('{nsqd.address}') open pending=0>"


# ---- the end


async def test_leaving_the_block_waits_for_what_is_pending() -> None:
    async with FakeNsqd() as nsqd:
        nsqd.script("PUB", silence)
        async with Producer(nsqd.address) as producer:
            task = asyncio.create_task(producer.publish("t", b"x"))
            await nsqd.expect("IDENTIFY", "PUB t x")
            asyncio.get_running_loop().call_later(0.05, nsqd.link.ok)
        assert task.done()
        assert task.result().nodes == (nsqd.address,)
        assert nsqd.links[0].gone.is_set()


async def test_after_the_end_nothing_is_published() -> None:
    async with FakeNsqd() as nsqd:
        async with Producer(nsqd.address) as producer:
            await producer.publish("t", b"x")
        with pytest.raises(Closed, match="producer is closed"):
            await producer.publish("t", b"y")
        await producer.close()


async def test_leaving_by_an_exception_waits_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer_module, "CANCELLED_FLUSH", 0.05)
    async with FakeNsqd() as nsqd:
        nsqd.always("PUB", silence)
        producer = Producer(nsqd.address)

        async def fail() -> None:
            raise LookupError

        async with asyncio.timeout(5):
            try:
                async with producer:
                    task = asyncio.create_task(producer.publish("t", b"x"))
                    await nsqd.expect("IDENTIFY", "PUB t x")
                    await fail()
            except LookupError:
                pass
        assert "was closed before nsqd answered" in str(task.exception())


async def test_a_part_that_dies_fails_the_producer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cause = LookupError("a bug")

    async def broken(self: object) -> None:
        raise cause

    monkeypatch.setattr("nsqclient.connection.reconnect.Reconnect.run", broken)
    async with Producer("127.0.0.1:1") as producer:
        with pytest.raises(Closed, match="producer failed") as caught:
            await producer.publish("t", b"x")
        assert caught.value.__cause__ is cause
        with pytest.raises(Closed):
            await producer.publish("t", b"x")
    assert "the producer failed" in caplog.text


@pytest.mark.parametrize("settings", [{"max_pending": 0}, {"max_pending_bytes": 0}, {"timeout": 0}])
def test_wrong_settings_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        Producer("127.0.0.1:1", **settings)  # type: ignore[arg-type]


async def test_a_check_ends_with_the_producer() -> None:
    producer = Producer("127.0.0.1:1", chance=lambda: 0.99)
    async with producer:
        checking = asyncio.create_task(producer.check(60))
        await asyncio.sleep(0)
        await producer.close()
        with pytest.raises(Closed):
            async with asyncio.timeout(5):
                await checking


async def test_a_loop_that_stood_still_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    options = ConnectionOptions(heartbeat=1)
    async with (
        FakeNsqd() as one,
        FakeNsqd() as two,
        Producer([one.address, two.address], options=options) as producer,
    ):
        await until(lambda: producer.stats.connections == 2)
        time.sleep(1.3)  # noqa: ASYNC251 - this is the point
        await until(lambda: "stood still" in caplog.text)
        await asyncio.sleep(0.05)
    assert caplog.text.count("stood still") == 1
