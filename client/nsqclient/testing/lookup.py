"""A fake nsqlookupd: real HTTP, and answers about the fake nsqds of a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from nsqclient.testing.node import FakeNode
from nsqclient.testing.record import Commands
from nsqcore.addresses import parse_host_port
from nsqcore.api_server import Api, Endpoint, params_of, require
from nsqcore.errors import HttpError
from nsqcore.http_connection import HttpServer
from nsqcore.http_exchange import Body, Request


class FakeLookup:
    """A nsqlookupd of a :class:`~nsqclient.testing.cluster.FakeCluster`.

    It listens on a real port, so that the client's real HTTP is in the test. It knows every node of the
    cluster that is up and not hidden, with its topics, as if each were connected to it.
    """

    def __init__(self, nodes: Sequence[FakeNode], happened: Callable[[], object]) -> None:
        self.address: str = ""
        """``127.0.0.1:port``; the port stays the same over :meth:`stop` and :meth:`start`."""
        self._nodes = nodes
        self._happened = happened
        self._requests: list[str] = []
        self._hidden: set[str] = set()
        self._tombstones: set[tuple[str, str]] = set()
        self._failure: HttpError | None = None
        self._lie: Body = None
        self._server: HttpServer | None = None
        self._listener: asyncio.Server | None = None
        self._answering = asyncio.Event()
        self._answering.set()

    @property
    def requests(self) -> Commands:
        """What was asked so far: ``GET /lookup?topic=t``."""
        return Commands(self._requests)

    # ---- what it knows

    def hide(self, node: FakeNode) -> None:
        """The node has left; clients that are connected to it stay so."""
        self._hidden.add(node.address)

    def show(self, node: FakeNode) -> None:
        """The node is back."""
        self._hidden.discard(node.address)

    def tombstone(self, topic: str, node: FakeNode) -> None:
        """The node is no longer named for the topic, as nsqadmin can ask for."""
        self._tombstones.add((topic, node.address))

    # ---- faults

    def fail(self, status: int = 500, code: str = "INTERNAL_ERROR") -> None:
        """Every request is answered so."""
        self._failure = HttpError(status, code)

    def lie(self, answer: dict[str, object]) -> None:
        """Every request is answered with this."""
        self._lie = answer

    def hang(self) -> None:
        """Requests are taken and not answered, until :meth:`heal`."""
        self._answering.clear()

    def heal(self) -> None:
        """Answers truly again."""
        self._failure = self._lie = None
        self._answering.set()

    async def start(self) -> None:
        """Listens; again at the same port after :meth:`stop`."""
        if self._listener is None:
            port = parse_host_port(self.address)[1] if self.address else 0
            self._server = HttpServer(self._api().respond)
            loop = asyncio.get_running_loop()
            self._listener = await loop.create_server(self._server, "127.0.0.1", port)
            self.address = f"127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Ends its connections and listens no more."""
        if self._listener is not None and self._server is not None:
            self._listener.close()
            self._answering.set()
            await self._server.close()
            self._listener = self._server = None

    # ---- answers

    def _api(self) -> Api:
        return Api([Endpoint("GET", "/lookup", self._lookup), Endpoint("GET", "/nodes", self._all_nodes)])

    @property
    def _present(self) -> list[FakeNode]:
        return [node for node in self._nodes if node.up and node.address not in self._hidden]

    async def _lookup(self, request: Request) -> Body:
        answer = await self._before(request)
        topic = require(await params_of(request), "topic")
        having = [node for node in self._present if topic in node.topics]
        if answer is not None:
            return answer
        if not having:
            raise HttpError(404, "TOPIC_NOT_FOUND")
        channels = {channel for node in having for channel in node.queues.topics[topic].channels}
        named = [node for node in having if (topic, node.address) not in self._tombstones]
        return {"channels": sorted(channels), "producers": [_producer(node) for node in named]}

    async def _all_nodes(self, request: Request) -> Body:
        answer = await self._before(request)
        if answer is not None:
            return answer
        return {
            "producers": [
                {
                    **_producer(node),
                    "tombstones": [(topic, node.address) in self._tombstones for topic in node.topics],
                    "topics": node.topics,
                }
                for node in self._present
            ]
        }

    async def _before(self, request: Request) -> Body:
        self._requests.append(f"{request.head.method} {request.uri}")
        self._happened()
        await self._answering.wait()
        if self._failure is not None:
            raise self._failure
        return self._lie


def _producer(node: FakeNode) -> dict[str, object]:
    host, port = parse_host_port(node.address)
    return {
        "remote_address": f"{node.address}1",
        "hostname": host,
        "broadcast_address": host,
        "tcp_port": port,
        "http_port": port + 1,
        "version": node.options.version,
        "topology_zone": node.options.topology_zone,
        "topology_region": node.options.topology_region,
    }
