"""Daemons that mean harm: what they answer costs them their place in the answer, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from nsqadmin.cluster.cluster import Cluster
from nsqcore.http_client import JsonClient
from tests.nsqadmin.world import World
from tests.support.fake_cluster import topic

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


async def _redirect(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")


async def _drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def _flood(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b" " * 100_000)
        await writer.drain()


async def _header_flood(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        writer.write(b"x" * 100_000)
        await writer.drain()


async def _bomb(writer: asyncio.StreamWriter) -> None:
    body = b"[" * 1_000_000
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


@asynccontextmanager
async def _daemon(answer: Answer) -> AsyncIterator[str]:
    """Answers any request so; its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(writer)
            await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # it was hung up on
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield f"{host}:{port}"
    server.close()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (_redirect, "got response 302"),
        (_drip, "timed out"),
        (_flood, "the answer exceeds 1000000 bytes"),
        (_header_flood, ""),
        (_bomb, "the answer is not JSON"),
    ],
)
async def test_a_hostile_nsqlookupd_is_a_problem_beside_the_answer(
    world: World, answer: Answer, reason: str
) -> None:
    honest = await world.lookupd(await world.nsqd(topic("t")))
    async with (
        JsonClient(connect_timeout=1.0, request_timeout=1.0, max_answer=1_000_000) as client,
        _daemon(answer) as hostile,
    ):
        cluster = Cluster(client, lookupds=[honest.address, hostile], nsqds=[])
        async with asyncio.timeout(5.0):
            found = await cluster.nodes()
    assert len(found.value) == 1
    [problem] = found.problems
    assert problem.address == hostile
    assert reason in problem.reason


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254/latest", "h\r\nX: y", "h\n", "user:pass@h", "h?x", "[::1]", "h h", "h\x00", "ünï"],
)
async def test_a_host_that_would_change_the_request_is_never_asked(world: World, host: str) -> None:
    honest, liar = await world.lookupd(await world.nsqd(topic("t"))), await world.lookupd()
    liar.lies["/nodes"] = {"producers": [{"broadcast_address": host, "http_port": 80, "topics": ["t"]}]}
    async with JsonClient(request_timeout=1.0) as client:
        found = await Cluster(client, lookupds=[honest.address, liar.address], nsqds=[]).nodes()
    assert len(found.value) == 1
    assert [problem.reason for problem in found.problems] == [
        "its answer to /nodes makes no sense: broadcast_address is not a host name"
    ]
