"""What a connection leaves behind when its client goes: nothing, and at once.

Thousands that come and go would else wait in memory for the garbage collector, which has little to do in nsqd
and comes seldom.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.auth_server import ALL, AuthServer, permissions
from tests.support.nsqd import Node, eventually
from tests.support.raw import RawClient
from tests.support.tls import Authority


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def freed(node: Node, client: RawClient) -> None:
    """The client goes: our end is freed."""
    ours: Any = weakref.ref(await node.end_of(client))
    client.drop()
    await client.gone()
    await eventually(lambda: not list(node.nsqd._connections))
    await eventually(lambda: ours() is None)


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize(
    "settings", [{}, {"snappy": True}, {"deflate": True}], ids=["plain", "snappy", "deflate"]
)
async def test_a_consumer_is_freed_without_the_collector(tmp_path: Path, settings: dict[str, bool]) -> None:
    async with Node(tmp_path) as node:
        client = await node.connect()
        if settings:
            await client.identify(**settings)
            await client.until(lambda: len(client.buffer) > 0)
        else:
            client.send(b"SUB t c\nRDY 1\n")
            await client.expect_ok()
        await freed(node, client)


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize("settings", [{}, {"snappy": True}], ids=["tls", "tls+snappy"])
async def test_tls_is_freed_without_the_collector(tmp_path: Path, settings: dict[str, bool]) -> None:
    authority = Authority(tmp_path)
    async with Node(tmp_path, *authority.flags) as node:
        client = await node.connect()
        await client.identify(tls_v1=True, **settings)
        await authority.client().shake(client)
        await client.expect_ok()
        await freed(node, client)


@pytest.mark.usefixtures("_no_collector")
async def test_a_client_that_sent_auth_is_freed_without_the_collector(tmp_path: Path) -> None:
    async with AuthServer() as server, Node(tmp_path, server.flag) as node:
        server.answers["s"] = permissions(ALL)
        client = await node.connect()
        client.send(b"AUTH\n\0\0\0\x01s")
        await client.frame()
        await freed(node, client)


@pytest.mark.usefixtures("_no_collector")
async def test_a_client_that_was_refused_is_freed_without_the_collector(tmp_path: Path) -> None:
    async with Node(tmp_path) as node:
        client = await node.connect()
        ours: Any = weakref.ref(await node.end_of(client))
        client.send(b"NONSENSE\n")
        await client.until(lambda: client.ended)
        client.drop()
        await eventually(lambda: ours() is None)
