"""Publishes in every way there is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_type

import nsqclient
from nsqclient import (
    Agreement,
    Batch,
    ConnectionOptions,
    Delivery,
    Limits,
    Lookup,
    Node,
    NodeState,
    Nsqd,
    Outgoing,
    Producer,
    Receipt,
    Report,
    RetryPolicy,
    Routing,
    Tls,
    Topology,
    codecs,
    propagate,
    scope,
)


@dataclass
class Order:
    """What is sold."""

    customer: str
    cents: int


OPTIONS = ConnectionOptions(
    tls=Tls(mode="require", ca="ca.pem", cert=("client.pem", "client.key"), server_name="nsqd.example"),
    compress="prefer:snappy",
    auth=lambda: "s3cret",
    topology=Topology(region="eu", zone="eu-1a"),
    heartbeat=timedelta(seconds=10),
    limits=Limits(max_msg_size=1 << 16),
)
propagate("tenant")


def first(topic: str, nodes: Sequence[Node]) -> Node:
    """Chooses the one with the fewest unanswered publishes."""
    return min(nodes, key=lambda node: (node.pending, node.rtt or 0.0, node.address, topic))


async def stamp(call_next: Callable[[Outgoing], Awaitable[Receipt]], outgoing: Outgoing) -> Receipt:
    """Middleware."""
    outgoing.headers["sender"] = "shop"
    return await call_next(outgoing)


async def confirmed(producer: Producer, order: Order) -> str:
    """Waits for each."""
    receipt = await producer.publish("orders", order, delay=timedelta(minutes=1), timeout=2.0)
    assert_type(receipt, Receipt)
    receipt = await producer.publish_many("orders", [b"1", b"2", order], headers={"tenant": "a"})
    assert_type(receipt.nodes, tuple[str, ...])
    async with scope(timeout=2.0, tenant="acme"):
        await producer.publish("orders", {"id": 1}, key="order-1", propagate_deadline=True)
        left: float | None = scope.remaining()
        tenant = scope.get("tenant")
        assert_type(tenant, object)
    try:
        await producer.publish("orders", b"x")
    except nsqclient.PublishRejected as e:
        return e.code + e.node
    except nsqclient.PublishError as e:
        return e.outcome if left else "late"
    except nsqclient.ConfigError as e:
        return str(e)
    return ""


async def submitted(producer: Producer) -> int:
    """Waits for none, and reads what became of them."""
    delivery = await producer.submit("audit", "text", note=7)
    assert_type(delivery, Delivery)
    assert_type(await delivery, Receipt)
    try:
        producer.submit_nowait("audit", b"more")
    except nsqclient.Backlogged:
        await producer.flush(timeout=1)
    failed = 0
    async for report in producer.reports():
        assert_type(report, Report)
        failed += report.error is not None
    return failed


async def main() -> None:
    """Makes producers."""
    target = Lookup("http://lookup-1:4161", "https://lookup-2:4161/custom", auth="token")
    async with Producer(
        target,
        options=OPTIONS,
        routing=Routing(pick=first, copies=2, min_acks=1, shortage="degrade"),
        retry=RetryPolicy(attempts=2, backoff=nsqclient.FullJitter(0.1, cap=1.0), on_unknown="raise"),
        headers="always",
        codec=codecs.json,
        around=[stamp],
        reports="all",
    ) as producer:
        await confirmed(producer, Order("ann", 100))
        assert_type(await producer.check(), dict[str, Agreement])
        assert_type(producer.nodes, tuple[NodeState, ...])
        assert_type(producer.stats.pending, int)
    async with Producer(
        Nsqd("a:4150", "unix:/run/nsqd.sock"), batch=Batch(linger=0.01, max_messages=10)
    ) as batching:
        await submitted(batching)
    summary = batching.closed_summary
    if summary is not None:
        assert_type(summary.failed, int)
    async with Producer(nsqclient.from_env()), Producer(["a:4150", "b:4150"]):
        pass
    async with Producer(nsqclient.from_url("nsqd://a").with_options(heartbeat=5)):
        pass


if __name__ == "__main__":
    asyncio.run(main())
