"""The queue: what waits for a nsqd, and which nsqd gets it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from nsqclient import (
    ConnectionOptions,
    Lookup,
    Node,
    Producer,
    PublishError,
    PublishNotSent,
    Routing,
    Topology,
)
from nsqclient.producer.outlet import Outlet
from tests.nsqclient.producers import QUICK, start, until
from tests.support.fake_lookupd import FakeLookupd
from tests.support.fake_nsqd import FakeNsqd


def outlets(producer: Producer) -> list[Outlet]:
    assert producer._dispatch is not None
    return producer._dispatch._outlets()


def tombstone(producer: Producer, number: int, topic: str) -> str:
    """As if discovery had told it; returns which nsqd it is."""
    assert producer._dispatch is not None
    outlet = outlets(producer)[number]
    outlet.tombstones = frozenset({topic})
    producer._dispatch._sending.avoid_tombstones()
    return outlet.address


async def test_a_topic_that_is_being_removed_from_a_node_goes_to_others() -> None:
    async with FakeNsqd() as one, FakeNsqd() as two, Producer([one.address, two.address]) as producer:
        await until(lambda: producer.stats.connections == 2)
        marked = tombstone(producer, 0, "t")
        receipts = await asyncio.gather(*(producer.publish("t", b"x") for _ in range(10)))
        assert marked not in {address for receipt in receipts for address in receipt.nodes}
        others = [await producer.publish("u", b"x") for _ in range(4)]
        assert {receipt.nodes[0] for receipt in others} == {one.address, two.address}
        tombstone(producer, 1, "t")
        await producer.publish("t", b"somewhere")


async def test_copies_keep_off_such_a_node_unless_there_are_too_few() -> None:
    async with FakeNsqd() as one, FakeNsqd() as two, FakeNsqd() as three:
        addresses = [one.address, two.address, three.address]
        async with Producer(addresses, routing=Routing(copies=2), headers="auto") as producer:
            await until(lambda: producer.stats.connections == 3)
            marked = tombstone(producer, 0, "t")
            for _ in range(5):
                assert marked not in (await producer.publish("t", b"x")).nodes
            tombstone(producer, 1, "t")
            assert len((await producer.publish("t", b"x")).nodes) == 2


async def test_what_ran_out_of_time_while_nobody_is_connected_takes_no_memory() -> None:
    async with FakeNsqd() as nsqd:
        address = nsqd.address
    async with Producer(address, retry=QUICK, max_pending=100_000) as producer:
        for _ in range(5):
            tasks = start(producer, *[b"x"] * 200, timeout=0.01)
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, PublishError) for result in results)
        assert producer._dispatch is not None
        assert len(producer._dispatch._sending._queue) <= 64
        assert producer.stats.pending == 0


async def test_a_large_queue_is_dealt_in_pieces_over_all_that_read() -> None:
    async with FakeNsqd() as one, FakeNsqd() as two, Producer([one.address, two.address]) as producer:
        await until(lambda: producer.stats.connections == 2)
        await asyncio.gather(*start(producer, *[b"x" * 10_000] * 400))
        assert len(one.bodies) == len(two.bodies) == 200


@pytest.mark.parametrize("copies", [1, 2])
async def test_order_is_kept_on_each_node(copies: int) -> None:
    routing = Routing(copies=copies)
    async with FakeNsqd() as one, FakeNsqd() as two:
        async with Producer([one.address, two.address], routing=routing, headers="always") as producer:
            await until(lambda: producer.stats.connections == 2)
            await asyncio.gather(*start(producer, *[b"%04d" % n for n in range(500)]))
        for nsqd in (one, two):
            numbers = [body[-4:] for body in nsqd.bodies]
            assert numbers == sorted(numbers)


async def test_the_nearest_node_is_known_from_nsqlookupd() -> None:
    async with FakeNsqd() as far, FakeNsqd() as near, FakeLookupd() as lookupd:
        lookupd.nodes = [far.address, near.address]
        lookupd.tells[near.address] = {"topology_zone": "z1", "topology_region": "r"}
        lookupd.tells[far.address] = {"topology_zone": "z2", "topology_region": "r"}
        options = ConnectionOptions(topology=Topology(zone="z1", region="r"))
        routing = Routing(pick="nearest")
        async with Producer(Lookup(lookupd.url), options=options, routing=routing, retry=QUICK) as producer:
            await until(lambda: producer.stats.connections == 2)
            receipts = [await producer.publish("t", b"x") for _ in range(4)]
            assert {receipt.nodes for receipt in receipts} == {(near.address,)}
            await near.stop()
            await until(lambda: producer.stats.connections == 1)
            assert (await producer.publish("t", b"x")).nodes == (far.address,)


async def test_a_topic_is_not_kept_waiting_by_a_node_that_must_prove_itself_and_is_to_lose_it() -> None:
    async with FakeNsqd() as one, FakeNsqd() as two, Producer([one.address, two.address]) as producer:
        await until(lambda: producer.stats.connections == 2)
        marked = tombstone(producer, 0, "t")
        outlets(producer)[0].probing = True
        receipt = await producer.publish("t", b"x", timeout=1)
        assert receipt.nodes != (marked,)


async def test_a_function_that_picks_decides_about_nodes_that_must_prove_themselves_too() -> None:
    async with FakeNsqd() as one, FakeNsqd() as two:

        def pick(topic: str, nodes: Sequence[Node]) -> Node:
            if topic == "nobody":
                raise LookupError("no node for it")
            wanted = one.address if topic == "one" else two.address
            return next((node for node in nodes if node.address == wanted), nodes[0])

        async with Producer([one.address, two.address], routing=Routing(pick=pick)) as producer:
            await until(lambda: producer.stats.connections == 2)
            (probed,) = (outlet for outlet in outlets(producer) if outlet.address == one.address)
            probed.probing = True
            assert (await producer.publish("two", b"x", timeout=1)).nodes == (two.address,)
            with pytest.raises(PublishNotSent, match="no node for it"):
                await producer.publish("nobody", b"x", timeout=1)
            assert probed.probing
            assert (await producer.publish("one", b"x", timeout=1)).nodes == (one.address,)
            assert not probed.probing
