"""The examples of docs/scaling.md run against two nsqds and two nsqlookupds; what it says of draining one is so."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from deploy.local.topology import Node, Topology
from nsqclient import Consumer, Lookup, Producer
from nsqclient.http import Lookupd, Nsqd
from tests.docs.page import ROOT
from tests.docs.test_client_examples import blocks, run_page

PAGE = ROOT / "docs" / "scaling.md"
TIMEOUT = 30.0


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Topology]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    async with Topology(folder, nsqds=2, lookupds=2) as topology:
        for node in topology.lookupds:
            async with Lookupd(node.http) as lookupd, asyncio.timeout(TIMEOUT):
                while len(await lookupd.nodes()) < 2:  # noqa: ASYNC110 - what another process does is no event
                    await asyncio.sleep(0.02)
        yield topology


async def test_the_examples_run(
    cluster: Topology, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = {
        "127.0.0.1:4150": cluster.nsqds[0].tcp,
        "127.0.0.1:4152": cluster.nsqds[1].tcp,
        "127.0.0.1:4153": cluster.nsqds[1].http,
        "127.0.0.1:4161": cluster.lookupds[0].http,
        "127.0.0.1:4163": cluster.lookupds[1].http,
    }
    async with asyncio.timeout(TIMEOUT):
        await run_page(PAGE, written, tmp_path / "work", monkeypatch)
    said = capsys.readouterr().out
    assert all(f"'{node.tcp}': 500" in said for node in cluster.nsqds)
    assert all(f"{node.http} clicks counting 0 False" in said for node in cluster.nsqds)


async def test_a_drained_nsqd_is_empty_and_gets_nothing_more_from_producers_that_ask_nsqlookupds(
    cluster: Topology,
) -> None:
    leaving, staying = cluster.nsqds[1], cluster.nsqds[0]
    lookupds = [node.http for node in cluster.lookupds]
    lookup = Lookup(*lookupds, poll_interval=0.1)
    published, received = set[bytes](), set[bytes]()

    async def publish(producer: Producer) -> None:
        for n in count():
            await producer.publish("clicks", b"%d" % n)
            published.add(b"%d" % n)

    async def consume(consumer: Consumer) -> None:
        async for message in consumer:
            async with message:
                received.add(bytes(message.body))

    async with (
        asyncio.timeout(TIMEOUT),
        Producer(lookup) as producer,
        Consumer("clicks", "counting", lookup, max_in_flight=100) as consumer,
    ):
        await producer.check()
        publishing, reading = asyncio.create_task(publish(producer)), asyncio.create_task(consume(consumer))
        while not await consumed(leaving) or not await consumed(staying):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await page_function("drain")(leaving.http, lookupds, quiet=1.0)
        before = await messages(leaving), await messages(staying)
        while await messages(staying) < before[1] + 100:  # noqa: ASYNC110 - it goes on there
            await asyncio.sleep(0.02)
        assert await messages(leaving) == before[0]
        publishing.cancel()
        while not received >= published:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        reading.cancel()
        await asyncio.gather(publishing, reading, return_exceptions=True)


async def messages(node: Node) -> int:
    """How many were published to it since it started."""
    async with Nsqd(node.http) as nsqd:
        return sum(topic.message_count for topic in (await nsqd.stats(clients=False)).topics)


async def consumed(node: Node) -> bool:
    """Whether it has a channel with a consumer."""
    async with Nsqd(node.http) as nsqd:
        topics = (await nsqd.stats()).topics
        return any(channel.client_count for topic in topics for channel in topic.channels)


def page_function(name: str) -> Any:
    """A function of the page's examples, and nothing else of them."""
    names: dict[str, Any] = {"asyncio": asyncio, "Nsqd": Nsqd, "Lookupd": Lookupd}
    for block in blocks(PAGE):
        tree = compile(block, str(PAGE), "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        assert isinstance(tree, ast.Module)
        tree.body = [
            node for node in tree.body if isinstance(node, ast.AsyncFunctionDef) and node.name == name
        ]
        exec(compile(tree, str(PAGE), "exec"), names)
    return names[name]
