"""The stranger's program does not only look right: what it tests of itself holds, and it publishes."""

from __future__ import annotations

from nsqclient import Producer
from nsqclient.testing import FakeCluster
from tests.nsqclient.stranger import publishing, shop


async def test_the_tests_of_its_app_pass() -> None:
    await shop.test_a_bill_is_an_invoice()


async def test_it_publishes() -> None:
    async with FakeCluster(nodes=2) as cluster:
        async with Producer(cluster, headers="auto", around=[publishing.stamp]) as producer:
            assert await publishing.confirmed(producer, publishing.Order("ann", 100)) == ""
        assert len(cluster.published("orders")) == 6


async def test_it_chooses_among_the_nodes() -> None:
    async with FakeCluster(nodes=2) as cluster, Producer(cluster) as producer:
        await producer.check()
        assert publishing.first("orders", producer.nodes) in producer.nodes
