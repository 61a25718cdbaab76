"""One message to several nsqds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from nsqclient import ConfigError, Lookup, NoNodes, Producer, PublishError, PublishTimeout, Routing
from nsqclient.content.envelope import unwrap
from tests.nsqclient.producers import QUICK, until
from tests.support.fake_lookupd import FakeLookupd
from tests.support.fake_nsqd import FakeNsqd, drop, refuse, silence


@asynccontextmanager
async def cluster(count: int, **settings: Any) -> AsyncIterator[tuple[Producer, list[FakeNsqd]]]:
    """A producer of copies, connected to so many nsqds."""
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(FakeNsqd()) for _ in range(count)]
        settings = {"retry": QUICK, "headers": "auto", **settings}
        producer = await stack.enter_async_context(Producer([node.address for node in nodes], **settings))
        await until(lambda: producer.stats.connections == count)
        yield producer, nodes


async def test_each_message_goes_to_several_nsqds_with_the_same_key() -> None:
    async with cluster(3, routing=Routing(copies=2)) as (producer, nodes):
        receipts = [await producer.publish("t", b"x") for _ in range(6)]
        for receipt in receipts:
            assert len(set(receipt.nodes)) == 2
            assert receipt.message_key
            assert not receipt.degraded
            assert receipt.attempts == 2
        assert len({receipt.message_key for receipt in receipts}) == 6
        bodies = [body for node in nodes for body in node.bodies]
        keys = [unwrap(body)[0]["message-key"] for body in bodies]
        assert sorted(keys) == sorted(2 * [str(receipt.message_key) for receipt in receipts])


async def test_a_key_of_ones_own_is_kept() -> None:
    async with cluster(2, routing=Routing(copies=2)) as (producer, nodes):
        receipt = await producer.publish("t", b"x", key="mine")
        assert receipt.message_key == "mine"
        assert [unwrap(node.bodies[0])[0]["message-key"] for node in nodes] == ["mine", "mine"]


async def test_copies_go_to_different_zones_where_these_are_known() -> None:
    async with FakeNsqd() as a, FakeNsqd() as b, FakeNsqd() as c, FakeLookupd() as lookupd:
        lookupd.nodes = [a.address, b.address, c.address]
        for nsqd, zone in ((a, "near"), (b, "near"), (c, "far")):
            lookupd.tells[nsqd.address] = {"topology_zone": zone}
        async with Producer(Lookup(lookupd.url), routing=Routing(copies=2), headers="auto") as producer:
            await until(lambda: producer.stats.connections == 3)
            assert sorted(node.zone for node in producer.nodes) == ["far", "near", "near"]
            for _ in range(4):
                receipt = await producer.publish("t", b"x")
                assert c.address in receipt.nodes


async def test_enough_acks_are_a_success_and_the_rest_is_reported() -> None:
    async with cluster(2, routing=Routing(copies=2, min_acks=1), reports="all") as (producer, (fast, slow)):
        slow.script("PUB", silence)
        receipt = await producer.publish("t", b"x")
        assert receipt.nodes == (fast.address,)
        assert producer.stats.pending == 1, "the other copy is still under way"
        slow.link.ok()
        report = await anext(producer.reports())
        assert (report.copy_node, report.error) == (slow.address, None)
        assert producer.stats.pending == 0
        assert producer.stats.stored == 1


@pytest.mark.parametrize("first", ["the failure", "the success"])
async def test_a_copy_that_fails_is_reported_when_its_publish_succeeds(first: str) -> None:
    async with cluster(2, routing=Routing(copies=2, min_acks=1)) as (producer, (good, bad)):
        good.script("PUB", silence)
        bad.script("PUB", silence)
        task = asyncio.create_task(producer.publish("t", b"x"))
        await asyncio.gather(*(node.until(lambda node=node: "PUB" in node.verbs) for node in (good, bad)))  # type: ignore[misc]
        if first == "the failure":
            bad.link.error("E_BAD_TOPIC PUB no")
            await until(lambda: producer.stats.connections == 1)
            good.link.ok()
            await task
        else:
            good.link.ok()
            await task
            bad.link.error("E_BAD_TOPIC PUB no")
        report = await anext(producer.errors())
        assert report.copy_node == bad.address


async def test_a_copy_that_runs_out_of_time_is_reported() -> None:
    async with cluster(2, routing=Routing(copies=2, min_acks=1)) as (producer, (_, silent)):
        silent.script("PUB", silence)
        await producer.publish("t", b"x", timeout=0.05)
        report = await anext(producer.errors())
        assert report.copy_node == silent.address
        assert isinstance(report.error, PublishTimeout)
        assert producer.stats.pending == 0


async def test_too_few_acks_tell_where_it_is_stored() -> None:
    async with cluster(2, routing=Routing(copies=2)) as (producer, (good, bad)):
        bad.script("PUB", silence)
        task = asyncio.create_task(producer.publish("t", b"x"))
        await bad.until(lambda: "PUB" in bad.verbs)
        await until(lambda: any(node.rtt for node in producer.nodes))
        bad.link.error("E_BAD_TOPIC PUB no")
        with pytest.raises(PublishError) as caught:
            await task
        assert caught.value.acked_nodes == (good.address,)
        assert (caught.value.outcome, caught.value.code) == ("unknown", "E_BAD_TOPIC")


async def test_a_timeout_tells_where_it_is_stored() -> None:
    async with cluster(2, routing=Routing(copies=2)) as (producer, (good, silent)):
        silent.script("PUB", silence)
        with pytest.raises(PublishTimeout) as caught:
            await producer.publish("t", b"x", timeout=0.1)
        assert (caught.value.acked_nodes, caught.value.outcome) == ((good.address,), "unknown")
        assert producer.stats.pending == 0


async def test_a_lost_answer_of_a_copy_is_asked_for_again() -> None:
    async with cluster(2, routing=Routing(copies=2)) as (producer, (_, flaky)):
        flaky.script("PUB", drop)
        receipt = await producer.publish("t", b"x")
        assert len(set(receipt.nodes)) == 2
        assert receipt.attempts == 3


async def test_a_copy_moves_to_a_node_that_has_none() -> None:
    async with cluster(3, routing=Routing(copies=2)) as (producer, nodes):
        for node in nodes[:1]:
            node.always("PUB", refuse("E_PUB_FAILED PUB failed no space left on device"))
        for _ in range(5):
            receipt = await producer.publish("t", b"x")
            assert set(receipt.nodes) == {nodes[1].address, nodes[2].address}


async def test_a_shortage_fails_at_the_timeout_and_nothing_is_sent() -> None:
    async with cluster(1, routing=Routing(copies=2)) as (producer, (alone,)):
        with pytest.raises(NoNodes, match=r"2 copies want as many nsqds of .*, 1 are connected") as caught:
            await producer.publish("t", b"x", timeout=0.05)
        assert caught.value.outcome == "not_sent"
        assert "PUB" not in alone.verbs


async def test_a_shortage_may_be_put_up_with_and_is_marked() -> None:
    async with cluster(1, routing=Routing(copies=2, shortage="degrade")) as (producer, (alone,)):
        receipt = await producer.publish("t", b"x")
        assert (receipt.nodes, receipt.degraded) == ((alone.address,), True)


async def test_a_shortage_waits_for_nodes_that_may_still_come() -> None:
    async with FakeNsqd() as one, FakeNsqd() as two:
        routing = Routing(copies=2, shortage="degrade")
        async with Producer([one.address, two.address], routing=routing, headers="auto") as producer:
            receipt = await producer.publish("t", b"x")
            assert not receipt.degraded


async def test_no_shortage_goes_below_the_acks_that_are_wanted() -> None:
    routing = Routing(copies=3, min_acks=2, shortage="degrade")
    async with cluster(1, routing=routing) as (producer, _):
        with pytest.raises(NoNodes):
            await producer.publish("t", b"x", timeout=0.05)


async def test_a_node_that_goes_down_degrades_what_follows() -> None:
    async with cluster(2, routing=Routing(copies=2, shortage="degrade")) as (producer, (stays, leaves)):
        await producer.publish("t", b"1")
        await leaves.stop()
        receipts = await asyncio.gather(*(producer.publish("t", b"2") for _ in range(3)))
        assert [(r.nodes, r.degraded) for r in receipts] == 3 * [((stays.address,), True)]


async def test_several_messages_at_once_have_a_key_each() -> None:
    async with cluster(2, routing=Routing(copies=2)) as (producer, nodes):
        receipt = await producer.publish_many("t", [b"1", b"2"])
        assert (receipt.count, len(receipt.nodes)) == (2, 2)
        keys = [unwrap(body)[0]["message-key"] for body in nodes[0].bodies]
        assert len(set(keys)) == 2


async def test_cancelling_before_there_are_nodes_sends_nothing() -> None:
    async with cluster(1, routing=Routing(copies=2)) as (producer, (alone,)):
        task = asyncio.create_task(producer.publish("t", b"x"))
        await until(lambda: producer.stats.pending == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert "was not sent" in caught.value.__notes__[0]
        assert producer.stats.pending == 0
        assert "PUB" not in alone.verbs


async def test_many_copies_at_once() -> None:
    async with cluster(3, routing=Routing(copies=2)) as (producer, _):
        receipts = await asyncio.gather(*(producer.publish("t", b"x" * 1000) for _ in range(300)))
        assert all(len(set(receipt.nodes)) == 2 for receipt in receipts)


async def test_closing_reports_the_copies_that_are_left() -> None:
    async with cluster(2, routing=Routing(copies=2, min_acks=1), close_timeout=0.05) as (producer, nodes):
        nodes[1].script("PUB", silence)
        await producer.publish("t", b"x")
        await producer.close()
        assert [report.copy_node async for report in producer.reports()] == [nodes[1].address]


def test_copies_want_headers() -> None:
    with pytest.raises(ConfigError, match='headers="auto"'):
        Producer("127.0.0.1:1", routing=Routing(copies=2))
