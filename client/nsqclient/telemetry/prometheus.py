"""Metrics for Prometheus: what is so is read when it is scraped, durations are counted as things happen.

Needs the extra ``prometheus`` (``prometheus-client``). How they are exposed is up to you, for example with
``prometheus_client.start_http_server``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from prometheus_client import REGISTRY, CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nsqclient.consumer.consumer import Consumer
from nsqclient.content.outgoing import Outgoing
from nsqclient.errors import Control, PublishError
from nsqclient.producer.producer import Producer
from nsqclient.telemetry import readings
from nsqclient.telemetry.conventions import DURATIONS
from nsqclient.telemetry.watched import Watched

R = TypeVar("R")
W = TypeVar("W")


class ConsumerMetrics:
    """The metrics of all consumers of a process, with labels ``topic`` and ``channel``.

    ::

        metrics = ConsumerMetrics()
        consumer = metrics.watch(Consumer("orders", "billing", target, around=[metrics.handle]))

    ``watch`` alone gives counters and gauges (``nsq_consumer_received_total``, ``nsq_consumer_in_flight`` and so
    on); ``handle`` adds ``nsq_consumer_handling_seconds``, whose label ``outcome`` is ``done``, ``failed``,
    ``cancelled``, or what the handler raised to decide: ``retry``, ``drop``, ``deadletter``.
    """

    def __init__(
        self,
        *,
        registry: CollectorRegistry = REGISTRY,
        namespace: str = "nsq",
        buckets: Sequence[float] = DURATIONS,
    ) -> None:
        """``buckets`` are bounds in seconds. One object for each registry: names are registered once."""
        self._consumers = readings.consumers()
        self._handling = Histogram(
            "consumer_handling_seconds",
            "Time that handlers took.",
            ("topic", "channel", "outcome"),
            namespace=namespace,
            registry=registry,
            buckets=buckets,
        )
        labels = ("topic", "channel")
        prefix = f"{namespace}_consumer"
        registry.register(
            _Readings(self._consumers, prefix, labels, readings.CONSUMER_COUNTERS, readings.CONSUMER_GAUGES)
        )

    def watch(self, consumer: Consumer) -> Consumer:
        """Reads its statistics at each scrape, until it is closed; returns it."""
        self._consumers.add((consumer.topic, consumer.channel), consumer)
        return consumer

    async def handle(self, call_next: Callable[[W], Awaitable[object]], item: W) -> object:
        """For a consumer's ``around``: measures handlers of messages and of batches."""
        one: Any = item
        first = getattr(one, "messages", (one,))[0]
        clock = asyncio.get_running_loop().time
        began, outcome = clock(), "done"
        try:
            return await call_next(item)
        except BaseException as e:
            outcome = _outcome(e)
            raise
        finally:
            self._handling.labels(first.topic, first.channel, outcome).observe(clock() - began)


class ProducerMetrics:
    """The metrics of all producers of a process, with a label ``producer``.

    ::

        metrics = ProducerMetrics()
        producer = metrics.watch(Producer(target, around=[metrics.publish]), "orders")

    ``watch`` alone gives counters and gauges (``nsq_producer_stored_total``, ``nsq_producer_pending`` and so on);
    ``publish`` adds ``nsq_producer_publish_seconds``, with labels ``topic`` and ``outcome``: ``stored``,
    ``rejected``, ``not_sent``, ``unknown``, ``cancelled``, or ``failed`` for what never was a publish.
    """

    def __init__(
        self,
        *,
        registry: CollectorRegistry = REGISTRY,
        namespace: str = "nsq",
        buckets: Sequence[float] = DURATIONS,
    ) -> None:
        """``buckets`` are bounds in seconds. One object for each registry: names are registered once."""
        self._producers = readings.producers()
        self._publishing = Histogram(
            "producer_publish_seconds",
            "Time from the call of a publish to its outcome.",
            ("topic", "outcome"),
            namespace=namespace,
            registry=registry,
            buckets=buckets,
        )
        prefix = f"{namespace}_producer"
        registry.register(
            _Readings(
                self._producers, prefix, ("producer",), readings.PRODUCER_COUNTERS, readings.PRODUCER_GAUGES
            )
        )

    def watch(self, producer: Producer, name: str = "default") -> Producer:
        """Reads its statistics at each scrape, until it is closed; returns it. Those of one name are added up."""
        self._producers.add((name,), producer)
        return producer

    async def publish(self, call_next: Callable[[Outgoing], Awaitable[R]], outgoing: Outgoing) -> R:
        """For a producer's ``around``: measures publishes."""
        clock = asyncio.get_running_loop().time
        began, outcome = clock(), "stored"
        try:
            return await call_next(outgoing)
        except BaseException as e:
            outcome = e.outcome if isinstance(e, PublishError) else _outcome(e)
            raise
        finally:
            self._publishing.labels(outgoing.topic, outcome).observe(clock() - began)


class _Readings(Collector):
    """Makes metrics of what is watched, when they are asked for."""

    def __init__(
        self,
        watched: Watched[Any],
        prefix: str,
        labels: tuple[str, ...],
        counters: Mapping[str, str],
        gauges: Mapping[str, str],
    ) -> None:
        self._watched = watched
        self._prefix = prefix
        self._labels = labels
        self._counters = counters
        self._gauges = gauges

    def describe(self) -> Iterable[Metric]:
        """The names, for the registry to see that there is one of each."""
        return self._families({}, {})

    def collect(self) -> Iterable[Metric]:
        """Their values as of now."""
        return self._families(self._watched.counters(), self._watched.gauges())

    def _families(
        self,
        counted: Mapping[tuple[str, ...], Mapping[str, float]],
        current: Mapping[tuple[str, ...], Mapping[str, float]],
    ) -> Iterable[Metric]:
        for name, text in self._counters.items():
            counter = CounterMetricFamily(f"{self._prefix}_{name}", text, labels=self._labels)
            for labels, values in counted.items():
                counter.add_metric(labels, values[name])
            yield counter
        for name, text in self._gauges.items():
            gauge = GaugeMetricFamily(f"{self._prefix}_{name}", text, labels=self._labels)
            for labels, values in current.items():
                gauge.add_metric(labels, values[name])
            yield gauge


def _outcome(error: BaseException) -> str:
    if isinstance(error, Control):
        return type(error).__name__.lower()
    return "cancelled" if isinstance(error, asyncio.CancelledError) else "failed"
