"""Three nsqds for one dialogue: the fake over memory, ours and the original as processes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from nsqclient.testing import FakeCluster, NodeOptions, NsqdProcess, find_nsqd
from nsqcore.wire.frames import MAGIC_V2
from tests.support.needs import original
from tests.support.raw import RawClient

FLAGS = (
    "--max-msg-size=100",
    "--max-body-size=1000",
    "--max-rdy-count=50",
    "--max-req-timeout=10s",
    "--max-channel-consumers=3",
)
OPTIONS = NodeOptions(
    max_msg_size=100,
    max_body_size=1000,
    max_rdy_count=50,
    max_req_timeout=10,
    max_channel_consumers=3,
)
"""The same as FLAGS."""


class Server(Protocol):
    """Where a dialogue is held."""

    async def connect(self, magic: bytes = MAGIC_V2) -> RawClient:
        """A client that has said no more than ``magic``."""

    def close_clients(self) -> None:
        """Ends them."""


class Fake:
    """The node of a FakeCluster, without a socket."""

    def __init__(self, options: NodeOptions = OPTIONS) -> None:
        self.cluster = FakeCluster(nodes=1, options=options)
        self._clients: list[RawClient] = []

    async def connect(self, magic: bytes = MAGIC_V2) -> RawClient:
        client = RawClient()
        await self.cluster.node(0).connect(client)
        client.send(magic)
        self._clients.append(client)
        return client

    def close_clients(self) -> None:
        for client in self._clients:
            client.close()


class Real:
    """A process."""

    def __init__(self, process: NsqdProcess) -> None:
        self._host, _, port = process.tcp_address.rpartition(":")
        self._port = int(port)
        self._clients: list[RawClient] = []

    async def connect(self, magic: bytes = MAGIC_V2) -> RawClient:
        client = await RawClient.open((self._host, self._port))
        client.send(magic)
        self._clients.append(client)
        return client

    def close_clients(self) -> None:
        for client in self._clients:
            client.close()


@contextmanager
def process(which: str, folder: Path) -> Iterator[NsqdProcess | None]:
    """The process behind ``ours`` and ``original``; none for the fake. Skips where there is no original."""
    if which == "fake":
        yield None
        return
    program = find_nsqd() if which == "ours" else original("nsqd")
    assert program is not None
    with NsqdProcess(program, folder, *FLAGS) as running:
        yield running


def fresh(name: str) -> str:
    """A topic of that name that nobody used."""
    return f"{name}-{uuid.uuid4().hex[:8]}"
