"""nsqd and nsqlookupd as far as their HTTP APIs go: real sockets, made-up queues, failures on demand.

A fake nsqd holds its topics as the JSON of ``/stats``, so that a test may put anything there. Changes made
through the API are carried out on that JSON and kept in ``calls``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from nsqadmin.web.http_server import Body, Route, listen, make_runner, query_of
from nsqcore.errors import HttpError

Json = dict[str, Any]
NO_LATENCY: Json = {"count": 0, "percentiles": None}


def latency(count: int, **values: float) -> Json:
    """An e2e object: ``latency(10, p99=2e6)`` is 2 ms for the quantile 0.99."""
    percentiles = [{"quantile": float(f"0.{name[1:]}"), "value": value} for name, value in values.items()]
    return {"count": count, "percentiles": percentiles}


def client(host: str, **fields: Any) -> Json:
    """A consumer's connection as ``/stats`` shows it."""
    defaults = {
        "client_id": host.partition(".")[0],
        "hostname": host,
        "version": "V2",
        "remote_address": "10.1.0.9:51000",
        "state": 3,
        "ready_count": 1,
        "in_flight_count": 0,
        "message_count": 0,
        "finish_count": 0,
        "requeue_count": 0,
        "connect_ts": int(time.time()) - 60,
        "sample_rate": 0,
        "deflate": False,
        "snappy": False,
        "user_agent": "go-nsq/1.1.0",
        "topology_zone": "",
        "topology_region": "",
        "tls": False,
        "tls_cipher_suite": "",
        "tls_version": "",
        "tls_negotiated_protocol": "",
        "tls_negotiated_protocol_is_mutual": False,
    }
    return defaults | fields


def channel(name: str, **fields: Any) -> Json:
    """A channel as ``/stats`` shows it; ``client_count`` follows ``clients``."""
    defaults = {
        "channel_name": name,
        "depth": 0,
        "backend_depth": 0,
        "in_flight_count": 0,
        "deferred_count": 0,
        "message_count": 0,
        "requeue_count": 0,
        "timeout_count": 0,
        "client_count": len(fields.get("clients", [])),
        "clients": [],
        "paused": False,
        "e2e_processing_latency": NO_LATENCY,
    }
    return defaults | fields


def topic(name: str, *channels: Json, **fields: Any) -> Json:
    """A topic as ``/stats`` shows it."""
    defaults = {
        "topic_name": name,
        "channels": list(channels),
        "depth": 0,
        "backend_depth": 0,
        "message_count": 0,
        "message_bytes": 0,
        "paused": False,
        "e2e_processing_latency": NO_LATENCY,
    }
    return defaults | fields


class _Fake:
    """A daemon on a port of its own, which may hang, fail or lie."""

    def __init__(self) -> None:
        self.address = ""
        self.calls: list[str] = []
        """Changes asked for: path and query."""
        self.questions: list[str] = []
        """Reads asked for: path and query."""
        self.hanging = False
        """Accept requests and never answer."""
        self.lies: dict[str, Body | HttpError] = {}
        """What to answer to a path instead of the truth: a body (bytes go out as they are) or a refusal."""
        self._runner: web.AppRunner | None = None
        self._never = asyncio.Event()

    def routes(self) -> list[Route]:
        raise NotImplementedError

    async def start(self) -> None:
        """Listens on a free port of 127.0.0.1."""
        self._runner = make_runner(
            route._replace(handler=self._honestly(route.path, route.handler)) for route in self.routes()
        )
        await self._runner.setup()
        self.address = await listen(self._runner, "127.0.0.1:0")

    async def stop(self) -> None:
        """Dies: connections are refused from now on."""
        self._never.set()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def _honestly(self, path: str, handler: Callable[[web.Request], Any]) -> Callable[[web.Request], Any]:
        async def answer(request: web.Request) -> Any:
            (self.questions if request.method == "GET" else self.calls).append(request.path_qs)
            if self.hanging:
                await self._never.wait()
            lie = self.lies.get(path)
            if isinstance(lie, HttpError):
                raise lie
            return lie if lie is not None else await handler(request)

        return answer


class FakeNsqd(_Fake):
    """A nsqd that broadcasts 127.0.0.1."""

    def __init__(self, *topics: Json, hostname: str = "host", version: str = "1.3.0", **info: Any) -> None:
        super().__init__()
        self.topics = list(topics)
        self.hostname = hostname
        self.version = version
        self.info = info
        self.health = "OK"
        self.messages: list[bytes] = []
        """Bodies published, whatever the topic."""
        self.start_time = int(time.time()) - 3600

    @property
    def name(self) -> str:
        """As nsqadmin calls it."""
        return f"127.0.0.1:{self.port}"

    def describe(self) -> Json:
        """What it says to ``/info``, and nsqlookupd of it."""
        return {
            "version": self.version,
            "broadcast_address": "127.0.0.1",
            "hostname": self.hostname,
            "http_port": self.port,
            "tcp_port": self.port - 1,
            "start_time": self.start_time,
            "topology_zone": "",
            "topology_region": "",
        } | self.info

    def find(self, topic_name: str) -> Json | None:
        """The topic of that name."""
        return next((t for t in self.topics if t["topic_name"] == topic_name), None)

    def routes(self) -> list[Route]:
        kinds = ("topic", "channel")
        verbs = ("create", "delete", "empty", "pause", "unpause")
        return [
            Route("GET", "/info", self._info),
            Route("GET", "/stats", self._stats),
            Route("POST", "/pub", self._publish),
            *(Route("POST", f"/{kind}/{verb}", self._change) for kind in kinds for verb in verbs),
        ]

    async def _info(self, request: web.Request) -> Body:
        return self.describe()

    async def _stats(self, request: web.Request) -> Body:
        query = query_of(request)
        assert query["format"] == "json"
        topics = [dict(t) for t in self.topics if query.get("topic") in (None, t["topic_name"])]
        if "channel" in query:
            for t in topics:
                t["channels"] = [c for c in t["channels"] if c["channel_name"] == query["channel"]]
            topics = [t for t in topics if t["channels"]]
        if query.get("include_clients") == "false":
            for t in topics:
                t["channels"] = [{**c, "clients": None} for c in t["channels"]]
        stats: Json = {
            "version": self.version,
            "health": self.health,
            "start_time": self.start_time,
            "topics": topics or ([] if self.find(query.get("topic", "")) else None),
        }
        if query.get("include_mem") != "false":
            stats["memory"] = {"heap_in_use_bytes": 48 << 20, "heap_idle_bytes": 4 << 20}
        return {**stats, "producers": None}

    async def _publish(self, request: web.Request) -> Body:
        query = query_of(request)
        name = require(query, "topic")
        found = self.find(name)
        if found is None:
            found = topic(name)
            self.topics.append(found)
        found["message_count"] += 1
        found["depth"] += 1
        self.messages.append(await request.read())
        return "OK"

    async def _change(self, request: web.Request) -> Body:
        query = query_of(request)
        _, kind, verb = request.path.split("/")
        name = require(query, "topic")
        found = self.find(name)
        if kind == "topic" and verb == "create":
            if not found:
                self.topics.append(topic(name))
            return None
        if not found:
            raise HttpError(404, "TOPIC_NOT_FOUND")
        if kind == "topic" and verb == "delete":
            self.topics.remove(found)
            return None
        if kind == "channel":
            name, parent = require(query, "channel"), found
            found = next((c for c in parent["channels"] if c["channel_name"] == name), None)
            if verb == "create":
                if not found:
                    parent["channels"].append(channel(name))
                return None
            if not found:
                raise HttpError(404, "CHANNEL_NOT_FOUND")
            if verb == "delete":
                parent["channels"].remove(found)
                return None
        if verb == "empty":
            found |= {"depth": 0, "backend_depth": 0}
        else:
            found["paused"] = verb == "pause"
        return None


class FakeLookupd(_Fake):
    """A nsqlookupd to which ``nodes`` are connected; it knows their topics, and ``registered`` besides."""

    def __init__(self, *nodes: FakeNsqd, registered: dict[str, list[str]] | None = None) -> None:
        super().__init__()
        self.nodes = list(nodes)
        self.registered = registered or {}
        """Channels by topic, known without a producer."""
        self.tombstones: set[tuple[str, str]] = set()
        """Pairs of topic and node."""

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/topics", self._topics),
            Route("GET", "/channels", self._channels),
            Route("GET", "/lookup", self._lookup),
            Route("GET", "/nodes", self._nodes),
            Route("POST", "/topic/create", self._create),
            Route("POST", "/topic/delete", self._delete),
            Route("POST", "/topic/tombstone", self._tombstone),
            Route("POST", "/channel/create", self._create),
            Route("POST", "/channel/delete", self._delete),
        ]

    def known(self) -> dict[str, list[str]]:
        """Every topic and its channels."""
        known = {name: set(channels) for name, channels in self.registered.items()}
        for node in self.nodes:
            for t in node.topics:
                known.setdefault(t["topic_name"], set()).update(c["channel_name"] for c in t["channels"])
        return {name: sorted(channels) for name, channels in sorted(known.items())}

    async def _topics(self, request: web.Request) -> Body:
        return {"topics": list(self.known())}

    async def _channels(self, request: web.Request) -> Body:
        return {"channels": self.known().get(require(query_of(request), "topic"), [])}

    async def _lookup(self, request: web.Request) -> Body:
        name = require(query_of(request), "topic")
        if name not in self.known():
            raise HttpError(404, "TOPIC_NOT_FOUND")
        producers = [
            self._producer(node)
            for node in self.nodes
            if node.find(name) and (name, node.name) not in self.tombstones
        ]
        return {"channels": self.known()[name], "producers": producers}

    async def _nodes(self, request: web.Request) -> Body:
        producers = []
        for node in self.nodes:
            names = [t["topic_name"] for t in node.topics]
            tombstones = [(name, node.name) in self.tombstones for name in names]
            producers.append({**self._producer(node), "tombstones": tombstones, "topics": names})
        return {"producers": producers}

    def _producer(self, node: FakeNsqd) -> Json:
        return {"remote_address": f"127.0.0.1:{node.port + 1}", **node.describe()}

    async def _create(self, request: web.Request) -> Body:
        query = query_of(request)
        channels = self.registered.setdefault(require(query, "topic"), [])
        if query.get("channel"):
            channels.append(query["channel"])
        return None

    async def _delete(self, request: web.Request) -> Body:
        query = query_of(request)
        name = require(query, "topic")
        if request.path == "/topic/delete":
            self.registered.pop(name, None)
            return None
        if require(query, "channel") not in self.known().get(name, []):
            raise HttpError(404, "CHANNEL_NOT_FOUND")
        self.registered[name] = [c for c in self.registered.get(name, []) if c != query["channel"]]
        return None

    async def _tombstone(self, request: web.Request) -> Body:
        query = query_of(request)
        self.tombstones.add((require(query, "topic"), require(query, "node")))
        return None


def require(query: dict[str, str], name: str) -> str:
    """A parameter that must be there and not empty."""
    if not query.get(name):
        raise HttpError(400, f"MISSING_ARG_{name.upper()}")
    return query[name]
