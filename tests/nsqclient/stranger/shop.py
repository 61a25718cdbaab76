"""An app of typed handlers, and its tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_type

from nsqclient import (
    App,
    Backoff,
    BatchOf,
    ConnectionOptions,
    Failures,
    Message,
    Retry,
    Router,
    codecs,
)
from nsqclient.testing import (
    Clock,
    FakeCluster,
    FaultyProxy,
    NodeOptions,
    Recorder,
    ScriptedNsqd,
    refuse,
)


@dataclass
class Order:
    """What is sold."""

    customer: str
    cents: int


@dataclass
class Invoice:
    """What is sent for it."""

    text: str


orders = Router(topic_prefix="shop.")


@orders.on("orders", channel="billing", concurrency=8, attempts=3, dead_letter="dead", backoff="node")
@orders.publishes("invoices")
async def bill(order: Order, message: Message) -> Invoice | None:
    """Takes a payload and the message."""
    if message.attempts > 2:
        raise Retry(after=10)
    return Invoice(order.customer) if order.cents else None


@orders.on("invoices", channel="archive", batch=BatchOf(100, linger=0.5), auto_touch=True)
def archive(invoices: list[Invoice]) -> None:
    """A plain function, of batches."""
    for invoice in invoices:
        assert_type(invoice.text, str)


app = App(
    "127.0.0.1:4150",
    options=ConnectionOptions(),
    codec=codecs.msgpack,
    headers="auto",
    failures=Failures(attempts=9),
)
app.include(orders)


@app.on("pings", channel="all", backoff=Backoff(multiplier=0.1), timeout=5)
async def ping(message: Message) -> None:
    """Takes nothing but the message."""
    await app.producer.publish("pongs", message.body)


@app.on_startup
async def prepare() -> None:
    """A hook."""
    assert_type(app.health().ready, bool)


async def test_a_bill_is_an_invoice() -> None:
    """As a stranger would test it."""
    async with app.test() as trial:
        await trial.publish("shop.orders", Order("ann", 5))
        await trial.settle()
        assert_type(trial.published("shop.invoices", Invoice), list[Invoice])
        assert_type(trial.published("shop.invoices"), list[bytes])
        assert len(bill.calls) == 1
    assert_type(archive([]), None)


async def test_in_bad_weather(nsq_cluster: FakeCluster) -> None:
    """With the fakes."""
    async with FakeCluster(nodes=3, options=NodeOptions(msg_timeout=1.0)) as cluster:
        cluster.node(0).refuse("PUB", "E_PUB_FAILED PUB failed", times=2)
        cluster.node(1).kill()
        cluster.add_node()
        assert_type(cluster.clock, Clock)
        await cluster.clock.advance(60)
        await cluster.wait_for_commands(0, "SUB orders billing", "RDY *")
        assert cluster.commands(0).verbs == ["IDENTIFY"]
        assert_type(cluster.published("t"), list[bytes])
    async with ScriptedNsqd(msg_timeout=1000) as nsqd:
        nsqd.script("PUB", refuse("E_BAD_TOPIC"))
        await nsqd.expect("IDENTIFY", "PUB *")
    async with FaultyProxy("127.0.0.1:4150") as proxy:
        proxy.half_open()
        proxy.delay(0.5, "to_client")
    assert_type(nsq_cluster.depth("t", "c"), int)
    async with Recorder("127.0.0.1:4150") as recorder:
        assert_type(recorder.address, str)
