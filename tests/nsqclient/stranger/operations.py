"""Scripts, the daemons' HTTP APIs, metrics, traces, and a bridge to browsers."""

from __future__ import annotations

from typing import assert_type

from nsqclient import Agreement, Consumer, Producer, Receipt, blocking
from nsqclient.blocking import Message
from nsqclient.http import Lookupd, Nsqd
from nsqclient.push import Authenticator, Bridge, Denied, Grant, HttpAuth, JwtAuth, Permission, Settings
from nsqclient.telemetry.metrics import Metrics
from nsqclient.telemetry.prometheus import ConsumerMetrics, ProducerMetrics
from nsqclient.telemetry.tracing import Tracing


def script() -> None:
    """Without an event loop."""
    with blocking.Producer("127.0.0.1:4150", timeout=2, max_pending=10) as producer:
        receipt = producer.publish("orders", {"id": 1}, delay=5, timeout=1.0)
        assert_type(receipt, Receipt)
        assert_type(producer.publish_many("orders", [b"1"]), Receipt)
        future = producer.submit("orders", b"2", key="k")
        assert_type(future.result(), Receipt)
        assert_type(producer.check(), dict[str, Agreement])
        producer.flush(5)

    def handle(message: Message) -> None:
        assert_type(message.decode(dict[str, int]), dict[str, int])

    with blocking.Consumer("orders", "script", ["127.0.0.1:4150"], max_in_flight=10) as consumer:
        for message in consumer:
            with message:
                assert_type(message.body, bytes)
        consumer.get(timeout=1).requeue(5)
        consumer.run(handle, threads=4)
        assert_type(consumer.stats.received, int)


async def administer() -> None:
    """Over HTTP."""
    async with Nsqd("http://127.0.0.1:4151") as nsqd, Lookupd("http://127.0.0.1:4161") as lookupd:
        await nsqd.create_channel("orders", "billing")
        await nsqd.publish("orders", b"x", delay=5)
        stats = await nsqd.stats(topic="orders")
        assert_type(sum(channel.depth for topic in stats.topics for channel in topic.channels), int)
        assert_type(await lookupd.topics(), tuple[str, ...])
        await nsqd.set_log_level("debug")
        await lookupd.tombstone("orders", "127.0.0.1:4151")


def measured() -> tuple[Producer, Consumer]:
    """With metrics and traces around."""
    tracing, metrics, prometheus = Tracing(), Metrics(), ConsumerMetrics(namespace="shop")
    producer = Producer(
        "a:4150", around=[tracing.publish, metrics.publish, ProducerMetrics().publish], headers="auto"
    )
    consumer = Consumer("t", "c", "a:4150", around=[tracing.handle, metrics.handle, prometheus.handle])
    assert_type(metrics.watch(consumer), Consumer)
    return metrics.watch_producer(producer), prometheus.watch(consumer)


class Doorkeeper:
    """An authenticator of one's own."""

    async def check(self, token: str, *, remote_ip: str, tls: bool) -> Grant:
        """Lets anybody in who says so."""
        if token != "please" or not tls:
            raise Denied(remote_ip)
        return Grant("ann", (Permission("^news$", (".*",)),), ttl=60)

    async def close(self) -> None:
        """Nothing is open."""


async def push() -> None:
    """To browsers."""
    authenticator: Authenticator = Doorkeeper()
    settings = Settings(node="bridge-1", user_topics=("direct",), slow="drop", heartbeat=20)
    async with Bridge("127.0.0.1:4150", authenticator, settings=settings, address="127.0.0.1:0") as bridge:
        assert_type(bridge.address, str)
        await bridge.wait_closed()
    Bridge("127.0.0.1:4150", HttpAuth("127.0.0.1:4181"))
    Bridge(["127.0.0.1:4150"], JwtAuth("k" * 32, algorithms=["HS512"], audience="shop"), demo=True)
