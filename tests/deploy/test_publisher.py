from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from deploy.local.ledger import Ledger
from deploy.local.publisher import Publisher, PublishFailed
from deploy.local.records import Batch
from nsqcore.http_client import JsonClient

BATCHES = [Batch(b"one", [("f", 1)]), Batch(b"two", [("f", 2), ("f", 3)]), Batch(b"three", [("g", 1)])]
Handler = Callable[[web.Request, bytes], Awaitable[web.Response]]


class Node:
    """A fake nsqd that keeps what it took; ``misbehave`` may answer a request in its place."""

    def __init__(self) -> None:
        self.took: list[bytes] = []
        self.misbehave: Handler | None = None
        self.port = 0

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.misbehave:
            handler, self.misbehave = self.misbehave, None
            return await handler(request, body)
        self.took.append(body)
        return web.Response(text="OK")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/mpub", self.handle)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield f"http://127.0.0.1:{self.port}/mpub"
        finally:
            await runner.cleanup()


@pytest.fixture
async def client() -> AsyncIterator[JsonClient]:
    async with JsonClient() as made:
        yield made


def publisher(url: str, client: JsonClient, published: Ledger, patience: float = 10) -> Publisher:
    return Publisher(url, client, iter(BATCHES), published, patience=patience, confirmed=lambda: None)


async def test_every_batch_is_posted_and_noted_when_confirmed(client: JsonClient) -> None:
    node, published, seen = Node(), Ledger(), []
    async with node.serving() as url:
        await Publisher(
            url,
            client,
            iter(BATCHES),
            published,
            patience=1,
            confirmed=lambda: seen.append(published.distinct),
        ).run()
    assert node.took == [b"one", b"two", b"three"]
    assert seen == [1, 3, 4]
    assert list(published) == [("f", 1), ("f", 2), ("f", 3), ("g", 1)]


async def test_publishers_that_share_an_iterator_take_each_batch_once(client: JsonClient) -> None:
    nodes, published, source = [Node(), Node()], Ledger(), iter(BATCHES)
    async with nodes[0].serving() as first, nodes[1].serving() as second:
        both = [
            Publisher(url, client, source, published, patience=1, confirmed=lambda: None)
            for url in (first, second)
        ]
        await asyncio.gather(*(one.run() for one in both))
    assert all(node.took for node in nodes)
    assert sorted(nodes[0].took + nodes[1].took) == [b"one", b"three", b"two"]
    assert published.added == published.distinct == 4


async def test_it_waits_for_a_node_that_is_down(client: JsonClient) -> None:
    node, published = Node(), Ledger()
    async with node.serving() as url:
        pass
    one = publisher(url, client, published)
    task = asyncio.create_task(one.run())
    async with asyncio.timeout(10):
        while not one.resends.attempts:  # noqa: ASYNC110 - counted, not announced
            await asyncio.sleep(0.01)
        async with node.serving():
            await task
    assert node.took == [b"one", b"two", b"three"]
    assert one.resends.attempts == one.resends.not_sent > 0
    assert one.resends.in_doubt == 0


async def test_a_connection_that_breaks_after_sending_leaves_doubt_and_is_tried_again(
    client: JsonClient,
) -> None:
    node, published = Node(), Ledger()

    async def take_and_vanish(request: web.Request, body: bytes) -> web.Response:
        node.took.append(body)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with node.serving() as url:
        node.misbehave = take_and_vanish
        one = publisher(url, client, published)
        await one.run()
    assert node.took == [b"one", b"one", b"two", b"three"]
    assert (one.resends.attempts, one.resends.not_sent, one.resends.in_doubt) == (1, 0, 1)
    assert published.added == published.distinct == 4


async def test_a_node_that_is_exiting_is_asked_again(client: JsonClient) -> None:
    node, published = Node(), Ledger()

    async def exiting(request: web.Request, body: bytes) -> web.Response:
        return web.json_response({"message": "EXITING"}, status=503)

    async with node.serving() as url:
        node.misbehave = exiting
        one = publisher(url, client, published)
        await one.run()
    assert one.resends.attempts == 1
    assert published.distinct == 4


async def test_a_refusal_is_final(client: JsonClient) -> None:
    node, published = Node(), Ledger()

    async def refuse(request: web.Request, body: bytes) -> web.Response:
        return web.json_response({"message": "BODY_TOO_BIG"}, status=413)

    async with node.serving() as url:
        node.misbehave = refuse
        with pytest.raises(PublishFailed, match="BODY_TOO_BIG"):
            await publisher(url, client, published).run()
    assert published.added == 0


async def test_patience_ends(client: JsonClient) -> None:
    node = Node()
    async with node.serving() as url:
        pass
    with pytest.raises(PublishFailed, match=r"tried for 0 s"):
        await publisher(url, client, Ledger(), patience=0).run()
