"""Telemetry as users put it together: middleware of a producer and of a consumer, with messages in between."""

from __future__ import annotations

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from nsqclient import Consumer, Message, Producer
from nsqclient.telemetry.prometheus import ConsumerMetrics, ProducerMetrics
from nsqclient.telemetry.tracing import Tracing
from nsqclient.testing import FakeCluster


def identity(span: ReadableSpan) -> tuple[int, int]:
    own = span.get_span_context()
    assert own is not None
    return own.trace_id, own.span_id


@pytest.mark.parametrize("headers", ["auto", "never"])
async def test_a_trace_goes_from_publisher_to_handler_and_on(headers: str) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing = Tracing(tracer_provider=provider)
    settings = {"headers": headers}
    seen: list[object] = []
    async with (
        FakeCluster(1) as cluster,
        Producer(cluster, around=[tracing.publish], **settings) as producer,  # type: ignore[arg-type]
        Consumer("t", "c", cluster, around=[tracing.handle], **settings) as consumer,  # type: ignore[arg-type]
    ):

        async def handler(message: Message) -> None:
            seen.append(baggage.get_baggage("tenant"))
            await producer.publish("next", b"y")
            consumer.stop()

        token = context.attach(baggage.set_baggage("tenant", "acme"))
        await producer.publish("t", b"x")
        context.detach(token)
        await consumer.run(handler)
        assert len(cluster.published("next")) == 1
    send, send_next, process = exporter.get_finished_spans()
    assert [span.name for span in (send, process, send_next)] == ["send t", "process t", "send next"]
    assert (process.parent.span_id if process.parent else None) == (
        identity(send)[1] if headers == "auto" else None
    )
    assert send_next.parent is not None
    assert send_next.parent.span_id == identity(process)[1]
    assert seen == ["acme" if headers == "auto" else None]
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_middleware_for_prometheus_measures_what_happens() -> None:
    registry = CollectorRegistry()
    producing, consuming = ProducerMetrics(registry=registry), ConsumerMetrics(registry=registry)
    async with (
        FakeCluster(1) as cluster,
        producing.watch(Producer(cluster, around=[producing.publish])) as producer,
        consuming.watch(Consumer("t", "c", cluster, around=[consuming.handle])) as consumer,
    ):

        async def handler(message: Message) -> None:
            consumer.stop()

        await producer.publish("t", b"x")
        await (await producer.submit("u", b"x"))
        await consumer.run(handler)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    for topic in ("t", "u"):
        assert value("nsq_producer_publish_seconds_count", topic=topic, outcome="stored") == 1
    assert value("nsq_consumer_handling_seconds_count", topic="t", channel="c", outcome="done") == 1
    assert value("nsq_producer_stored_total", producer="default") == 2
    assert value("nsq_consumer_finished_total", topic="t", channel="c") == 1
