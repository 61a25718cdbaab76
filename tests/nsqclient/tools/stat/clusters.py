"""Made-up nsqds and nsqlookupds that tests of nsq_stat ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp.test_utils import unused_port

from nsqclient.tools.stat.nodes import Nodes
from tests.support.fake_cluster import FakeLookupd, FakeNsqd, channel, topic


def nsqd(**counts: Any) -> FakeNsqd:
    """One with the channel ``c`` of the topic ``t``."""
    return FakeNsqd(topic("t", channel("c", **counts)))


def change(node: FakeNsqd, name: str = "c", **counts: Any) -> None:
    """Changes the counts of its channel."""
    for found in node.topics[0]["channels"]:
        if found["channel_name"] == name:
            found.update(counts)


@asynccontextmanager
async def running(*daemons: FakeNsqd | FakeLookupd) -> AsyncIterator[None]:
    """They listen while the block runs."""
    for daemon in daemons:
        await daemon.start()
    try:
        yield
    finally:
        for daemon in daemons:
            await daemon.stop()


@asynccontextmanager
async def nodes_of(
    *,
    nsqds: list[str] | None = None,
    lookupds: list[str] | None = None,
    tell: Callable[[str], None] = lambda text: None,
    request_timeout: float = 5.0,
    only: str = "c",
) -> AsyncIterator[Nodes]:
    """Asks these for ``t``, closed in the end."""
    nodes = Nodes(
        "t",
        only,
        nsqds=nsqds or [],
        lookupds=lookupds or [],
        connect_timeout=2.0,
        request_timeout=request_timeout,
        tell=tell,
    )
    try:
        yield nodes
    finally:
        await nodes.close()


def nobody() -> str:
    """An address where nobody listens."""
    return f"127.0.0.1:{unused_port()}"
