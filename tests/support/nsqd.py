"""nsqd inside this process, and clients that speak to it byte by byte over real sockets.

::

    async with Node(tmp_path, "--msg-timeout=1s") as node:
        consumer = await node.subscribe("t", "c", rdy=1)
        producer = await node.connect()
        await producer.pub("t", b"hello")
        message = await consumer.message()
        consumer.fin(message.id)
        await node.restart()
        assert (await node.request("GET", "/ping")).body == b"OK"

Every wait has a deadline. Nothing is guessed or retried: what a client reads is exactly what came.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast
from unittest.mock import patch

from nsqcore.wire.frames import MAGIC_V2
from nsqd.broker import Broker
from nsqd.channel import Channel
from nsqd.daemon import Nsqd
from nsqd.http.lane import Lanes
from nsqd.options import Options, command_line
from nsqd.protocol.connection import Connection
from nsqd.topic import Topic
from tests.support.raw import DEADLINE_S, UNKNOWN_ID, Answer, RawClient, RawHttp, RawSocket

__all__ = [
    "DEADLINE_S",
    "UNKNOWN_ID",
    "Answer",
    "Node",
    "RawClient",
    "RawHttp",
    "RawSocket",
    "eventually",
    "make_options",
    "numbers",
]


def make_options(folder: Path, *flags: str) -> Options:
    """The options that these flags make, on free loopback ports and with a fixed node id."""
    listeners = [f"--{kind}-address=127.0.0.1:0" for kind in ("tcp", "http", "https")]
    always = (f"--data-path={folder}", *listeners)
    given = command_line().parse([*always, "--broadcast-address=127.0.0.1", "--node-id=1", *flags])
    return Options(**cast(dict[str, Any], given.options))


class Node:
    """A nsqd that runs while the block does; its clients are closed with it."""

    def __init__(self, folder: Path, *flags: str) -> None:
        """``flags`` as on the command line, on top of those of :func:`make_options`."""
        self.folder = folder
        self.flags = flags
        self._clients: list[RawSocket] = []
        self._running = False

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            client.close()
        await self.stop()

    async def start(self) -> None:
        """Starts it on what is in the folder, at new ports."""
        self.nsqd = Nsqd(make_options(self.folder, *self.flags))
        self._running = True
        with patch("nsqd.daemon.gc"):  # what it does for its speed is slow, and lasts for all other tests
            await self.nsqd.start()

    async def stop(self) -> None:
        """Ends it in order; twice is fine."""
        if self._running:
            self._running = False
            async with asyncio.timeout(2 * DEADLINE_S):
                await self.nsqd.stop()

    async def restart(self, *flags: str) -> None:
        """Stops it and starts it again in its folder; ``flags`` are added to those it had."""
        await self.stop()
        self.flags += flags
        await self.start()

    # -- what it holds -----------------------------------------------------------------------------

    @property
    def broker(self) -> Broker:
        broker = self.nsqd._broker
        assert broker is not None
        return broker

    def topic(self, name: str) -> Topic:
        """A topic that exists."""
        return self.broker.topics[name.encode()]

    def channel(self, topic: str, name: str) -> Channel:
        """A channel that exists."""
        return self.topic(topic).channels[name]

    @property
    def lanes(self) -> Lanes:
        """The connections of the HTTP port that were not handed over."""
        lanes = self.nsqd._lanes
        assert lanes is not None
        return lanes

    async def end_of(self, client: RawClient) -> Connection:
        """Our end of a client's connection."""
        found: list[Connection] = []

        def find() -> bool:
            there = self.nsqd._connections
            found[:] = [c for c in there if c.client.remote_address == client.name]
            return bool(found)

        await eventually(find)
        return found[0]

    # -- clients -----------------------------------------------------------------------------------

    @property
    def tcp(self) -> tuple[str, int]:
        """Where it listens for clients."""
        return self._address("TCP")

    @property
    def http(self) -> tuple[str, int]:
        """Where its HTTP API is."""
        return self._address("HTTP")

    @property
    def https(self) -> tuple[str, int]:
        """Where its HTTP API is over TLS."""
        return self._address("HTTPS")

    def _address(self, which: str) -> tuple[str, int]:
        host, port = self.nsqd._listeners[which].getsockname()[:2]
        return host, port

    async def connect(self, magic: bytes = MAGIC_V2) -> RawClient:
        """A client that has said no more than ``magic``."""
        client = await RawClient.open(self.tcp)
        self._clients.append(client)
        client.send(magic)
        return client

    async def subscribe(self, topic: str, channel: str, rdy: int = 0, **settings: object) -> RawClient:
        """A consumer; ``settings`` are for its IDENTIFY, which is left out when there are none."""
        client = await self.connect()
        if settings:
            await client.identify(**settings)
        await client.sub(topic, channel)
        if rdy:
            client.rdy(rdy)
        return client

    async def publish(self, topic: str, *bodies: bytes) -> None:
        """PUBs of a client apart, each answered before the next."""
        client = await self.connect()
        await client.pub(topic, *bodies)
        client.close()

    async def connect_http(self, *, tls: bool = False) -> RawHttp:
        """A connection to the HTTP port, or the HTTPS port, its handshake not begun."""
        client = await RawHttp.open(self.https if tls else self.http)
        self._clients.append(client)
        return client

    async def request(self, method: str, target: str, body: bytes | None = None) -> Answer:
        """One HTTP request on its own connection."""
        client = await RawHttp.open(self.http)
        try:
            return await client.request(method, target, body)
        finally:
            client.close()

    async def post(self, target: str) -> None:
        """A POST without a body, which succeeds."""
        answer = await self.request("POST", target, b"")
        assert answer.status == 200, answer

    async def stats(self, query: str = "") -> dict[str, Any]:
        """``/stats`` as JSON; ``query`` is added."""
        answer = await self.request("GET", f"/stats?format=json&include_mem=false{query}")
        return cast(dict[str, Any], json.loads(answer.body))


def numbers(count: int, start: int = 0) -> list[bytes]:
    """So many bodies, each telling its place."""
    return [b"%d" % n for n in range(start, start + count)]


async def eventually(condition: Callable[[], bool], timeout: float = DEADLINE_S) -> None:
    """Turns the loop until a condition holds that no event tells of; raises AssertionError when it never does."""
    deadline = asyncio.get_running_loop().time() + timeout
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"{condition} did not come true in {timeout} s"
        await asyncio.sleep(0.001)
