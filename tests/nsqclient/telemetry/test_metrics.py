from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from nsqclient import Consumer, Message, NoNodes, Outgoing, Producer, Receipt, Retry
from nsqclient.telemetry.metrics import Metrics
from nsqclient.testing import FakeCluster
from tests.nsqclient.telemetry.messages import message

Point = tuple[Mapping[str, Any], float]
SEND = {
    "messaging.system": "nsq",
    "messaging.operation.name": "send",
    "messaging.operation.type": "send",
    "messaging.destination.name": "t",
}
PROCESS = {
    "messaging.system": "nsq",
    "messaging.operation.name": "process",
    "messaging.operation.type": "process",
    "messaging.destination.name": "t",
    "messaging.destination.subscription.name": "c",
}


class Collected:
    """Metrics that can be looked at."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.metrics = Metrics(meter_provider=MeterProvider([self._reader]))

    def points(self, name: str) -> list[Point]:
        """Attributes and values (of a histogram: counts) of one metric."""
        data = self._reader.get_metrics_data()
        found: list[Point] = []
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points if metric.name == name else ():
                        value = point.count if hasattr(point, "count") else point.value
                        found.append((dict(point.attributes or {}), value))
        return found


@pytest.fixture
def collected() -> Collected:
    return Collected()


async def stored(outgoing: Outgoing) -> Receipt:
    return Receipt("t", ("n:1",), 1, 1, 0.0, 0.0)


async def refused(outgoing: Outgoing) -> Receipt:
    raise NoNodes("nobody there")


async def test_publishes_are_counted_and_measured(collected: Collected) -> None:
    await collected.metrics.publish(stored, Outgoing("t", b"x"))
    await collected.metrics.publish(stored, Outgoing("t", [b"a", b"b"], count=2))
    with pytest.raises(NoNodes):
        await collected.metrics.publish(refused, Outgoing("t", b"x"))
    failed = {**SEND, "error.type": "NoNodes"}
    assert sorted(collected.points("messaging.client.sent.messages"), key=len) == [(SEND, 3), (failed, 1)]
    assert collected.points("messaging.client.operation.duration") == [(SEND, 2), (failed, 1)]


async def test_handlings_are_measured(collected: Collected) -> None:
    errors: list[Exception | None] = [None, ValueError("x"), Retry(after=1)]

    async def handler(item: Message) -> str:
        error = errors.pop(0)
        if error is not None:
            raise error
        return "result"

    assert await collected.metrics.handle(handler, message({})) == "result"
    with pytest.raises(ValueError, match="x"):
        await collected.metrics.handle(handler, message({}))
    with pytest.raises(Retry):
        await collected.metrics.handle(handler, message({}))
    failed = {**PROCESS, "error.type": "ValueError"}
    assert collected.points("messaging.process.duration") == [(PROCESS, 2), (failed, 1)]


async def test_what_is_watched_is_read_when_it_is_collected(collected: Collected) -> None:
    async with FakeCluster(1) as cluster:
        producer, consumer = Producer(cluster), Consumer("t", "c", cluster, max_in_flight=5)
        assert collected.metrics.watch_producer(producer, "p") is producer
        assert collected.metrics.watch(consumer) is consumer
        async with producer, consumer:
            for _ in range(3):
                await producer.publish("t", b"x")
            first, _ = await consumer.get(5), await consumer.get(5)
            first.finish()
            by_producer = {"messaging.system": "nsq", "nsq.producer.name": "p"}
            assert collected.points("nsq.producer.stored") == [(by_producer, 3)]
            assert collected.points("nsq.producer.pending") == [(by_producer, 0)]
            ((attributes, received),) = collected.points("messaging.client.consumed.messages")
            assert attributes == {
                "messaging.system": "nsq",
                "messaging.operation.name": "receive",
                "messaging.destination.name": "t",
                "messaging.destination.subscription.name": "c",
            }
            assert received >= 2
            assert collected.points("nsq.consumer.finished") == [(attributes, 1)]
            ((_, in_flight),) = collected.points("nsq.consumer.in_flight")
            assert in_flight == received - 1
            await consumer.close(0)
        assert collected.points("nsq.consumer.finished") == [(attributes, 1)]
        assert collected.points("nsq.consumer.in_flight") == []
