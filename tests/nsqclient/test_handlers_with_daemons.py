"""Handlers, dead letters, batches and deduplication with real nsqds; everything counted at the end.

With ours, and with the original where ``NSQ_PEER_BIN`` names it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fakeredis import FakeAsyncRedis

from nsqclient import (
    ConnectionOptions,
    Consumer,
    DeadLetter,
    Dedup,
    Failures,
    FlowControl,
    LinearRequeue,
    MemoryStore,
    Message,
    MessageBatch,
    Nsqd,
    Producer,
    RedisStore,
    Routing,
)
from nsqclient.dedup.store import Store
from tests.support.needs import original
from tests.support.processes import DaemonProcess, spawn

LOCAL = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--broadcast-address=127.0.0.1")
CALM = FlowControl(backoff=None)
AT_ONCE = LinearRequeue(0, cap=0)


@pytest.fixture(params=["ours", "original"])
def two(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[list[DaemonProcess]]:
    program = "nsqd" if request.param == "ours" else original("nsqd")
    with ExitStack() as stack:
        nsqds = []
        for number in range(2):
            folder = tmp_path / str(number)
            folder.mkdir()
            nsqds.append(stack.enter_context(spawn(program, *LOCAL, f"--data-path={folder}")))
        yield nsqds


async def running(consumer: Consumer, task: asyncio.Task[None], finished: int) -> None:
    """Until so many messages are finished; then ends what runs."""
    async with asyncio.timeout(20):
        while consumer.stats.finished < finished:
            assert not task.done()
            await asyncio.sleep(0.01)
    consumer.stop()
    async with asyncio.timeout(10):
        await task


async def test_a_thousand_handlers_handle_each_message_once(two: list[DaemonProcess]) -> None:
    handled: Counter[bytes] = Counter()

    async def handler(message: Message) -> None:
        await asyncio.sleep(0)
        handled[message.body] += 1

    bodies = [b"%d" % n for n in range(5000)]
    async with Producer([nsqd.tcp for nsqd in two]) as producer:
        for start in range(0, 5000, 500):
            await producer.publish_many("t", bodies[start : start + 500])
    async with Consumer("t", "c", [nsqd.tcp for nsqd in two]) as consumer:
        task = asyncio.create_task(consumer.run(handler, concurrency=1000))
        await running(consumer, task, 5000)
        assert consumer.stats.requeued == consumer.stats.lost == 0
    assert handled == Counter(bodies)


async def test_what_fails_becomes_a_dead_letter_that_tells_its_story(two: list[DaemonProcess]) -> None:
    attempts: list[int] = []

    async def handler(message: Message) -> None:
        attempts.append(message.attempts)
        if message.body == b"hopeless":
            raise DeadLetter("no such customer")
        raise LookupError("not yet")

    failures = Failures(attempts=3, requeue=AT_ONCE, dead_letter="t.dead")
    target = two[0].tcp
    async with (
        Producer(target, headers="auto") as producer,
        Consumer("t", "c", target, headers="auto", failures=failures, flow=CALM, max_in_flight=1) as consumer,
        Consumer("t.dead", "c", target, headers="auto") as undertaker,
    ):
        task = asyncio.create_task(consumer.run(handler))
        await producer.publish("t", b"poison", headers={"tenant": "acme"}, key="k")
        async with await undertaker.get(timeout=10) as letter:
            assert (letter.body, letter.key) == (b"poison", "k")
            assert letter.headers["tenant"] == "acme"
            assert letter.headers["nsq-topic"] == "t"
            assert letter.headers["nsq-channel"] == "c"
            assert letter.headers["nsq-node"] == target
            assert letter.headers["nsq-attempts"] == "3"
            assert letter.headers["nsq-error"] == "LookupError: not yet"
        assert attempts == [1, 2, 3]
        await producer.publish("t", b"hopeless")
        async with await undertaker.get(timeout=10) as letter:
            assert letter.headers["nsq-reason"] == "handler"
            assert letter.headers["nsq-error"] == "DeadLetter: no such customer"
        assert (consumer.stats.dead_letters, consumer.stats.given_up) == (2, 2)
        consumer.stop()
        await task


async def test_a_message_whose_handler_never_answers_is_caught_before_the_handler(
    two: list[DaemonProcess],
) -> None:
    """As when it kills the process each time: nsqd itself delivers it again."""
    target = two[0].tcp
    options = ConnectionOptions(msg_timeout=1)
    async with Producer(target) as producer:
        await producer.publish("t", b"killer")
    async with Consumer("t", "c", target, options=options, drain=0, max_in_flight=1) as doomed:
        assert (await doomed.get(timeout=10)).attempts == 1
        for subscription in doomed._reception.members.by_node.values():
            assert subscription._connection is not None
            subscription._connection.abort(ConnectionError("the process died"))  # type: ignore[arg-type]
    failures = Failures(attempts=1, dead_letter="t.dead")
    async with (
        Consumer("t", "c", target, failures=failures) as consumer,
        Consumer("t.dead", "c", target) as undertaker,
    ):
        taking = asyncio.create_task(consumer.get(timeout=10))
        async with await undertaker.get(timeout=10) as letter:
            assert letter.body == b"killer"
        taking.cancel()
        await asyncio.wait([taking])
        assert taking.cancelled(), "it was not handed out"


async def test_leaving_hands_back_at_once_what_was_not_started(two: list[DaemonProcess]) -> None:
    target = two[0].tcp
    started = asyncio.Event()
    handled: Counter[bytes] = Counter()

    async def slow(message: Message) -> None:
        started.set()
        await asyncio.sleep(0.1)
        handled[message.body] += 1

    async def quick(message: Message) -> None:
        handled[message.body] += 1

    bodies = [b"%d" % n for n in range(50)]
    async with Producer(target) as producer:
        await producer.publish_many("t", bodies)
    async with Consumer("t", "c", target, max_in_flight=50) as consumer:
        task = asyncio.create_task(consumer.run(slow, concurrency=5))
        await started.wait()
    await task
    assert 5 <= sum(handled.values()) < 50
    # far less than the message timeout, for which messages that were kept would have to wait
    async with asyncio.timeout(10), Consumer("t", "c", target) as consumer:
        task = asyncio.create_task(consumer.run(quick, concurrency=5))
        await running(consumer, task, 50 - sum(handled.values()))
    assert handled == Counter(bodies)


async def test_batches_come_full_when_there_is_much_and_soon_when_there_is_little(
    two: list[DaemonProcess],
) -> None:
    sizes: list[int] = []
    handled: Counter[bytes] = Counter()

    async def handler(batch: MessageBatch) -> None:
        sizes.append(len(batch))
        handled.update(batch.bodies)

    bodies = [b"%d" % n for n in range(1000)]
    targets = [nsqd.tcp for nsqd in two]
    async with Producer(targets) as producer, Consumer("t", "c", targets) as consumer:
        task = asyncio.create_task(
            consumer.run_batches(handler, max_messages=100, linger=0.05, concurrency=2)
        )
        await producer.publish_many("t", bodies[:500])
        await producer.publish_many("t", bodies[500:])
        async with asyncio.timeout(10):
            while sum(sizes) < 1000:  # noqa: ASYNC110 - counted by the handler
                await asyncio.sleep(0.01)
        assert max(sizes) == 100
        many = len(sizes)
        await producer.publish("t", b"last")
        await running(consumer, task, 1001)
        assert sizes[many:] == [1]
    assert handled == Counter([*bodies, b"last"])


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_copies_on_two_nsqds_are_handled_once(two: list[DaemonProcess], kind: str) -> None:
    """By two consumers at the same time, which share the store."""
    handled: Counter[bytes] = Counter()

    async def handler(message: Message) -> None:
        await asyncio.sleep(0.001)
        handled[message.body] += 1

    targets = [nsqd.tcp for nsqd in two]
    async with FakeAsyncRedis() as redis:
        store: Store = MemoryStore() if kind == "memory" else RedisStore(redis)
        bodies = [b"%d" % n for n in range(100)]
        async with (
            Producer(Nsqd(*targets), routing=Routing(copies=2), headers="auto") as producer,
            Consumer("t", "c", targets, headers="auto", dedup=Dedup(store)) as one,
            Consumer("t", "c", targets, headers="auto", dedup=Dedup(store)) as other,
        ):
            tasks = [asyncio.create_task(c.run(handler, concurrency=10)) for c in (one, other)]
            await asyncio.gather(*(producer.publish("t", body) for body in bodies))
            async with asyncio.timeout(20):
                while one.stats.finished + other.stats.finished < 200:  # noqa: ASYNC110 - counted by both
                    await asyncio.sleep(0.01)
            assert one.stats.duplicates + other.stats.duplicates == 100
            one.stop()
            other.stop()
            await asyncio.gather(*tasks)
    assert handled == Counter(bodies)
