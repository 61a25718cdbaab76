from __future__ import annotations

import asyncio
import contextlib

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from nsqclient import Consumer, Control, DeadLetter, Message, NoNodes, NsqError, Outgoing, Producer, Receipt
from nsqclient.telemetry.prometheus import ConsumerMetrics, ProducerMetrics
from nsqclient.testing import FakeCluster
from tests.nsqclient.telemetry.messages import message

LABELS = {"topic": "t", "channel": "c"}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


async def test_the_statistics_of_consumers_are_read_at_each_scrape(registry: CollectorRegistry) -> None:
    metrics = ConsumerMetrics(registry=registry)

    def value(name: str) -> float | None:
        return registry.get_sample_value(f"nsq_consumer_{name}", LABELS)

    async with FakeCluster(1) as cluster, Producer(cluster) as producer:
        consumer = metrics.watch(Consumer("t", "c", cluster, max_in_flight=5))
        assert value("received_total") == 0
        async with consumer:
            await producer.publish("t", b"x")
            await producer.publish("t", b"y")
            first, second = await consumer.get(5), await consumer.get(5)
            first.finish()
            assert (value("received_total"), value("finished_total"), value("in_flight")) == (2, 1, 1)
            assert (value("connections"), value("backoff_level"), value("rdy")) == (1, 0, 5)
            second.requeue()
            assert (value("requeued_total"), value("backoff_level")) == (1, 1)
        assert (value("received_total"), value("in_flight")) == (2, None)


async def test_the_statistics_of_producers_are_read_at_each_scrape(registry: CollectorRegistry) -> None:
    metrics = ProducerMetrics(registry=registry, namespace="shop")

    def value(name: str) -> float | None:
        return registry.get_sample_value(f"shop_producer_{name}", {"producer": "p"})

    async with FakeCluster(1) as cluster, metrics.watch(Producer(cluster), "p") as producer:
        await producer.publish("t", b"x")
        assert (value("stored_total"), value("pending"), value("pending_bytes")) == (1, 0, 0)
        cluster.node(0).pause()
        task = asyncio.create_task(producer.publish("t", b"y"))
        while not producer.stats.pending:  # noqa: ASYNC110 - the task has to run first
            await asyncio.sleep(0)
        assert value("pending") == 1
        cluster.node(0).resume()
        await task


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "stored"),
        (NoNodes("x"), "not_sent"),
        (ValueError(), "failed"),
        (asyncio.CancelledError(), "cancelled"),
    ],
)
async def test_publishes_are_measured_by_outcome(
    registry: CollectorRegistry, error: BaseException | None, outcome: str
) -> None:
    metrics = ProducerMetrics(registry=registry)

    async def publish(outgoing: Outgoing) -> Receipt:
        if error is not None:
            raise error
        return Receipt("t", ("n:1",), 1, 1, 0.0, 0.0)

    with contextlib.suppress(NsqError, ValueError, Control, asyncio.CancelledError):
        await metrics.publish(publish, Outgoing("t", b"x"))
    labels = {"topic": "t", "outcome": outcome}
    assert registry.get_sample_value("nsq_producer_publish_seconds_count", labels) == 1


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "done"),
        (ValueError(), "failed"),
        (DeadLetter("x"), "deadletter"),
        (asyncio.CancelledError(), "cancelled"),
    ],
)
async def test_handlings_are_measured_by_outcome(
    registry: CollectorRegistry, error: BaseException | None, outcome: str
) -> None:
    metrics = ConsumerMetrics(registry=registry, buckets=(1, 2))

    async def handler(item: Message) -> None:
        if error is not None:
            raise error

    with contextlib.suppress(NsqError, ValueError, Control, asyncio.CancelledError):
        await metrics.handle(handler, message({}))
    labels = {**LABELS, "outcome": outcome}
    assert registry.get_sample_value("nsq_consumer_handling_seconds_count", labels) == 1
    assert registry.get_sample_value("nsq_consumer_handling_seconds_bucket", {**labels, "le": "2.0"}) == 1


def test_each_registry_has_the_names_once(registry: CollectorRegistry) -> None:
    ConsumerMetrics(registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        ConsumerMetrics(registry=registry)


async def test_what_is_exposed_is_proper_text(registry: CollectorRegistry) -> None:
    metrics = ConsumerMetrics(registry=registry)
    async with FakeCluster(1) as cluster:
        metrics.watch(Consumer("t", "c", cluster))
        text = generate_latest(registry).decode()
    assert 'nsq_consumer_received_total{channel="c",topic="t"} 0.0' in text
    assert "# HELP nsq_consumer_received_total Messages received." in text
