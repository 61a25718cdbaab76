"""What travels from a publisher's scope to a handler, and what becomes of it there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from nsqclient import (
    ConfigError,
    Consumer,
    DeadLetter,
    DeadlineExceeded,
    EmptyMessage,
    Expired,
    Failures,
    Message,
    Producer,
    PublishTimeout,
    propagate,
    scope,
)
from nsqclient.content import propagation
from nsqclient.content.envelope import unwrap
from nsqclient.testing import FakeCluster


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(propagation, "_declared", set())
    propagate("tenant")


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    async with FakeCluster(1) as cluster:
        yield cluster


@pytest.fixture
async def producer(cluster: FakeCluster) -> AsyncIterator[Producer]:
    async with Producer(cluster, headers="auto") as producer:
        yield producer


async def run(
    cluster: FakeCluster, handler: Callable[[Message], Any], count: int = 1, **settings: Any
) -> None:
    """Handles so many messages of topic t, read with their headers."""
    handled = 0

    async def counting(message: Message) -> None:
        nonlocal handled
        handled += 1
        try:
            await handler(message)
        finally:
            if handled == count:
                consumer.stop()

    async with Consumer("t", "c", cluster, headers="auto", **settings) as consumer:
        await consumer.run(counting)


async def test_a_handler_has_the_scope_that_its_message_brought(
    cluster: FakeCluster, producer: Producer
) -> None:
    seen: list[object] = []

    async def handler(message: Message) -> None:
        remaining = scope.remaining()
        seen.append(
            (scope.get("tenant"), scope.get("password"), remaining is not None and 25 < remaining < 31)
        )

    async with scope(timeout=30, tenant="acme", password="secret", propagate_deadline=True):
        await producer.publish("t", b"1")
    await producer.publish("t", b"2")
    async with scope(tenant="of the program"):
        await run(cluster, handler, 2)
    assert seen == [("acme", None, True), (None, None, False)]


async def test_nothing_that_a_handler_sets_is_seen_by_the_next(
    cluster: FakeCluster, producer: Producer
) -> None:
    seen: list[object] = []

    async def handler(message: Message) -> None:
        seen.append(scope.get("tenant"))
        await scope(tenant="left open").__aenter__()

    for _ in range(2):
        await producer.publish("t", b"x")
    await run(cluster, handler, 2)
    assert seen == [None, None]


async def test_a_handler_in_a_thread_has_the_scope_too(cluster: FakeCluster, producer: Producer) -> None:
    seen: list[object] = []

    def handler(message: Message) -> None:
        remaining = scope.remaining()
        seen.append(
            (scope.get("tenant"), remaining is not None and 25 < remaining < 31, message.decode(dict))
        )
        loop.call_soon_threadsafe(consumer.stop)

    loop = asyncio.get_running_loop()
    async with scope(timeout=30, tenant="acme", propagate_deadline=True):
        await producer.publish("t", {"a": 1})
    async with Consumer("t", "c", cluster, headers="auto") as consumer:
        await consumer.run(handler)
    assert seen == [("acme", True, {"a": 1})]


async def test_a_scope_inside_a_handler_does_not_make_a_failure_of_the_deadline(
    cluster: FakeCluster, producer: Producer
) -> None:
    async def handler(message: Message) -> None:
        async with scope(timeout=60, step="inner"):
            await asyncio.Event().wait()

    async with scope(timeout=0.05, propagate_deadline=True):
        await producer.publish("t", b"x")
    async with Consumer("t", "c", cluster, headers="auto") as consumer:
        running = asyncio.create_task(consumer.run(handler))
        async with asyncio.timeout(5):
            while not consumer.stats.expired:  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.01)
        consumer.stop()
        await running
        assert (consumer.stats.requeued, consumer.stats.backoff_level) == (0, 0)


async def test_an_iterator_can_take_the_scope_up(cluster: FakeCluster, producer: Producer) -> None:
    async with scope(timeout=30, tenant="acme", propagate_deadline=True):
        await producer.publish("t", b"x")
    async with Consumer("t", "c", cluster, headers="auto") as consumer, scope(step="mine"):
        async with await consumer.get(5) as message, message.scope():
            remaining = scope.remaining()
            assert remaining is not None
            assert 25 < remaining < 31
            assert (scope.get("tenant"), scope.get("step")) == ("acme", None)
        assert scope.get("step") == "mine"


async def test_what_a_handler_publishes_carries_the_scope_on(
    cluster: FakeCluster, producer: Producer
) -> None:
    async def handler(message: Message) -> None:
        await producer.publish("next", b"y")

    async with scope(timeout=30, tenant="acme", propagate_deadline=True):
        await producer.publish("t", b"x", key="k")
    await run(cluster, handler)
    headers, payload = unwrap(cluster.published("next")[0])
    assert (headers["value-tenant"], payload) == ("acme", b"y")
    assert 25_000 < int(headers["deadline-ms"]) < 31_000
    assert "message-key" not in headers


async def test_what_a_message_brought_does_not_keep_a_handler_from_publishing_plainly(
    cluster: FakeCluster, producer: Producer
) -> None:
    async with Producer(cluster) as plain, scope(timeout=30, tenant="acme", propagate_deadline=True):
        await producer.publish("t", b"x")
        with pytest.raises(ConfigError, match="tenant"):
            await plain.publish("next", b"refused")

        async def handler(message: Message) -> None:
            await plain.publish("next", b"y")

        await run(cluster, handler)
    assert cluster.published("next") == [b"y"]


async def test_a_handler_is_cancelled_at_the_deadline_and_its_message_expires(
    cluster: FakeCluster, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []

    async def handler(message: Message) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async with scope(timeout=0.05, propagate_deadline=True):
        await producer.publish("t", b"x")
    await asyncio.wait_for(run(cluster, handler, failures=Failures(dead_letter="dead")), 10)
    assert ended == ["cancelled"]
    headers, payload = unwrap(cluster.published("dead")[0])
    assert (headers["nsq-reason"], payload) == ("expired", b"x")
    assert "deadline-ms" not in headers


@pytest.mark.parametrize(("on_expired", "handled"), [(None, 0), ("drop", 0), ("run", 1)])
async def test_a_message_that_comes_too_late_expires(
    cluster: FakeCluster,
    producer: Producer,
    monkeypatch: pytest.MonkeyPatch,
    on_expired: Any,
    handled: int,
) -> None:
    monkeypatch.setattr(propagation.read, "__defaults__", (-1.0,))  # so late that no time need pass
    await producer.publish("t", b"late", headers={"deadline-ms": "0"})
    await producer.publish("t", b"in time")
    bodies: list[bytes] = []

    async def handler(message: Message) -> None:
        bodies.append(message.body)

    events: list[object] = []
    async with Consumer(
        "t", "c", cluster, headers="auto", failures=Failures(on_expired=on_expired)
    ) as consumer:
        stream = consumer.events()
        while len(bodies) < 1 + handled:
            async with await consumer.get(5) as message:
                await handler(message)
        await consumer.close()
        events.extend([event async for event in stream if isinstance(event, Expired)])
    assert bodies == [b"late"] * handled + [b"in time"]
    assert len(events) == 1 - handled


async def test_the_scope_limits_a_publish_and_tells_its_outcome(cluster: FakeCluster) -> None:
    async with Producer(cluster, timeout=30, close_timeout=0) as producer:
        await producer.check()
        cluster.node(0).pause()
        with pytest.raises(DeadlineExceeded) as caught:
            async with scope(timeout=0.05):
                await producer.publish("t", b"x")
        cluster.node(0).resume()
    (note,) = caught.value.__notes__
    assert "got no answer in time" in note or "may be stored" in note


async def test_no_publish_begins_after_the_scope(cluster: FakeCluster) -> None:
    async with Producer(cluster) as producer:
        with pytest.raises(PublishTimeout) as caught:
            async with scope(timeout=-1):
                await producer.publish("t", b"x")
    assert caught.value.outcome == "not_sent"


async def test_a_dead_letter_keeps_its_headers_and_tells_what_it_was(
    cluster: FakeCluster, producer: Producer
) -> None:
    async def handler(message: Message) -> None:
        raise DeadLetter("no such customer")

    await producer.publish("t", {"id": 1}, key="k", headers={"colour": "red"})
    await run(cluster, handler, failures=Failures(dead_letter="dead"))
    headers, payload = unwrap(cluster.published("dead")[0])
    assert payload == b'{"id":1}'
    assert (headers["message-key"], headers["colour"]) == ("k", "red")
    assert headers["content-type"] == "application/json"
    assert (headers["nsq-topic"], headers["nsq-channel"], headers["nsq-attempts"]) == ("t", "c", "1")
    assert headers["nsq-error"] == "DeadLetter: no such customer"


async def test_a_dead_letter_too_large_for_more_headers_goes_as_it_came(
    cluster: FakeCluster, producer: Producer
) -> None:
    body = bytes(1 << 20)

    async def handler(message: Message) -> None:
        raise DeadLetter("too much")

    await producer.publish("t", body)
    await run(cluster, handler, failures=Failures(dead_letter="dead"))
    assert cluster.published("dead") == [body]


async def test_a_dead_letter_of_a_producer_without_headers_is_as_it_came(
    cluster: FakeCluster, producer: Producer
) -> None:
    async def handler(message: Message) -> None:
        raise DeadLetter("no")

    await producer.publish("t", b"x", key="k")
    async with Producer(cluster) as plain:
        await run(cluster, handler, failures=Failures(dead_letter="dead", dead_letter_producer=plain))
    headers, payload = unwrap(cluster.published("dead")[0])
    assert (headers["message-key"], payload) == ("k", b"x")


async def test_an_envelope_may_be_around_nothing(producer: Producer, cluster: FakeCluster) -> None:
    await producer.publish("t", b"", key="k")
    assert unwrap(cluster.published("t")[0])[1] == b""
    with pytest.raises(EmptyMessage):
        await producer.publish("t", b"")
