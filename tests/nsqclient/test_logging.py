"""What the client logs: whose it is, and nothing that it was not asked for."""

from __future__ import annotations

import asyncio
import logging

import pytest

from nsqclient import Backoff, Consumer, Failures, FlowControl, LinearRequeue, Message, Producer
from nsqclient.testing import FakeCluster


async def test_records_of_a_consumer_say_which_it_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "nsqclient")
    flow = FlowControl(backoff=Backoff(multiplier=0.001))
    failures = Failures(attempts=2, requeue=LinearRequeue(0), dead_letter="dead")
    async with (
        FakeCluster(nodes=2) as cluster,
        Producer(cluster) as producer,
        Consumer("t", "c", cluster, flow=flow, failures=failures) as consumer,
    ):

        async def fail(message: Message) -> None:
            raise ValueError("no luck")

        async with consumer.parallel(2) as pool:
            await producer.publish("t", b"x")
            handling = asyncio.ensure_future(pool.run(fail))
            await cluster.until(lambda: cluster.published("dead") != [])
            cluster.node(1).kill()
            await cluster.until(lambda: consumer.stats.connections == 1)
            consumer.stop()
            await handling
    said = [record for record in caplog.records if record.name.startswith("nsqclient.consumer")]
    words = " ".join(record.getMessage() for record in said)
    for what in ("subscribed to", "handling message", "back-off level", "dead letter", "lost t/c"):
        assert what in words
    for record in said:
        assert (record.__dict__.get("topic"), record.__dict__.get("channel")) == ("t", "c"), (
            record.getMessage()
        )
        of_one = "handlers" not in record.getMessage()
        assert not of_one or record.__dict__["node"] in {node.address for node in cluster.nodes}


async def test_nothing_is_configured() -> None:
    async with FakeCluster(nodes=1) as cluster, Producer(cluster) as producer:
        await producer.publish("t", b"x")
        cluster.node(0).refuse("PUB", "E_PUB_FAILED PUB failed", times=1)
        await producer.publish("t", b"x")
    loggers = {
        name: logger
        for name, logger in logging.root.manager.loggerDict.items()
        if name.partition(".")[0] == "nsqclient" and isinstance(logger, logging.Logger)
    }
    assert "nsqclient.producer.dispatch" in loggers
    for logger in loggers.values():
        assert (logger.handlers, logger.level, logger.propagate, logger.filters) == (
            [],
            logging.NOTSET,
            True,
            [],
        )


async def test_nothing_is_said_above_info_while_all_goes_well(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "nsqclient")
    async with FakeCluster(nodes=2, lookups=1) as cluster, Producer(cluster) as producer:
        await producer.publish("t", b"x")
        async with Consumer("t", "c", cluster) as consumer, await consumer.get(timeout=5) as message:
            assert message.body == b"x"
    assert caplog.records
    assert [record.getMessage() for record in caplog.records if record.levelno > logging.INFO] == []
