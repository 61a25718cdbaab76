"""OpenTelemetry metrics: those of its conventions for messaging, and NSQ's own.

Needs the extra ``otel`` (``opentelemetry-api``); what is done with them is up to the SDK that is set up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from opentelemetry import metrics as otel_metrics
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from nsqclient.consumer.consumer import Consumer
from nsqclient.content.outgoing import Outgoing
from nsqclient.errors import Control
from nsqclient.producer.producer import Producer
from nsqclient.telemetry import conventions as name
from nsqclient.telemetry import readings
from nsqclient.telemetry.watched import Sums

R = TypeVar("R")
W = TypeVar("W")

Read = Callable[[], dict[tuple[str, ...], Sums]]


class Metrics:
    """Counts and measures what producers and consumers do.

    ::

        metrics = Metrics()
        producer = metrics.watch_producer(Producer(target, around=[metrics.publish]))
        consumer = metrics.watch(Consumer("orders", "billing", target, around=[metrics.handle]))

    ``publish`` and ``handle`` measure: ``messaging.client.sent.messages``,
    ``messaging.client.operation.duration``, ``messaging.process.duration``. What is watched is read whenever
    metrics are collected: ``messaging.client.consumed.messages``, ``nsq.consumer.*``, ``nsq.producer.*``.
    """

    def __init__(self, *, meter_provider: MeterProvider | None = None) -> None:
        """Without an argument it uses what is set up for the process."""
        meter = otel_metrics.get_meter("nsqclient", meter_provider=meter_provider)
        self._consumers = readings.consumers()
        self._producers = readings.producers()
        self._sent = meter.create_counter(
            name.SENT, "{message}", "Number of messages producer attempted to send to the broker."
        )
        self._sending = meter.create_histogram(
            name.OPERATION_DURATION,
            "s",
            "Duration of messaging operation initiated by a producer or consumer client.",
            explicit_bucket_boundaries_advisory=name.DURATIONS,
        )
        self._processing = meter.create_histogram(
            name.PROCESS_DURATION,
            "s",
            "Duration of processing operation.",
            explicit_bucket_boundaries_advisory=name.DURATIONS,
        )
        meter.create_observable_counter(
            name.CONSUMED,
            [_reading(self._consumers.counters, "received", _consumer_labels)],
            "{message}",
            "Number of messages that were delivered to the application.",
        )
        for field, text in readings.CONSUMER_COUNTERS.items():
            callback = _reading(self._consumers.counters, field, _consumer_labels)
            meter.create_observable_counter(f"nsq.consumer.{field}", [callback], "{message}", text)
        for field, text in readings.CONSUMER_GAUGES.items():
            callback = _reading(self._consumers.gauges, field, _consumer_labels)
            meter.create_observable_gauge(f"nsq.consumer.{field}", [callback], "1", text)
        for field, text in readings.PRODUCER_COUNTERS.items():
            callback = _reading(self._producers.counters, field, _producer_labels)
            meter.create_observable_counter(f"nsq.producer.{field}", [callback], "{publish}", text)
        for field, text in readings.PRODUCER_GAUGES.items():
            callback = _reading(self._producers.gauges, field, _producer_labels)
            meter.create_observable_gauge(f"nsq.producer.{field}", [callback], "1", text)

    def watch(self, consumer: Consumer) -> Consumer:
        """Reads a consumer's statistics at each collection, until it is closed; returns it."""
        self._consumers.add((consumer.topic, consumer.channel), consumer)
        return consumer

    def watch_producer(self, producer: Producer, producer_name: str = "default") -> Producer:
        """The same for a producer. Those of one name are added up."""
        self._producers.add((producer_name,), producer)
        return producer

    async def publish(self, call_next: Callable[[Outgoing], Awaitable[R]], outgoing: Outgoing) -> R:
        """For a producer's ``around``: measures publishes."""
        attributes: dict[str, str | int] = {
            name.SYSTEM: "nsq",
            name.OPERATION: "send",
            name.OPERATION_TYPE: "send",
            name.DESTINATION: outgoing.topic,
        }
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            return await call_next(outgoing)
        except BaseException as e:
            attributes[name.ERROR] = name.error_type(e)
            raise
        finally:
            self._sending.record(clock() - began, attributes)
            self._sent.add(outgoing.count, attributes)

    async def handle(self, call_next: Callable[[W], Awaitable[object]], item: W) -> object:
        """For a consumer's ``around``: measures handlers of messages and of batches."""
        one: Any = item
        first = getattr(one, "messages", (one,))[0]
        attributes: dict[str, str | int] = {
            name.SYSTEM: "nsq",
            name.OPERATION: "process",
            name.OPERATION_TYPE: "process",
            name.DESTINATION: first.topic,
            name.SUBSCRIPTION: first.channel,
        }
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            return await call_next(item)
        except BaseException as e:
            if not isinstance(e, Control):
                attributes[name.ERROR] = name.error_type(e)
            raise
        finally:
            self._processing.record(clock() - began, attributes)


def _consumer_labels(labels: tuple[str, ...]) -> dict[str, str]:
    topic, channel = labels
    return {
        name.SYSTEM: "nsq",
        name.OPERATION: "receive",
        name.DESTINATION: topic,
        name.SUBSCRIPTION: channel,
    }


def _producer_labels(labels: tuple[str, ...]) -> dict[str, str]:
    return {name.SYSTEM: "nsq", "nsq.producer.name": labels[0]}


def _reading(
    read: Read, field: str, attributes: Callable[[tuple[str, ...]], dict[str, str]]
) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(values[field], attributes(labels)) for labels, values in read().items()]

    return observe
