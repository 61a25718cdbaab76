"""The HTTP API (nsqd reference, section 5). Publishing is shared with the lane in front of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from nsqcore.api_server import Endpoint, params_of, query_of
from nsqcore.errors import HttpError
from nsqcore.golang import go_json, go_reason
from nsqcore.http_exchange import Answer, Body, Request, answer
from nsqcore.names import valid_name
from nsqcore.version import NSQ_VERSION, suite_version
from nsqd.broker import Broker
from nsqd.channel import Channel
from nsqd.client import Client
from nsqd.errors import Refused
from nsqd.http import publish
from nsqd.statistics import stats
from nsqd.storage.ticket import Ticket
from nsqd.topic import Topic

STATS_SLICE = 200
"""Topics that are turned into JSON in one go."""
_FALSE = ("false", "0")


@dataclass
class Node:
    """What the API tells of the daemon beside its broker; the daemon fills it."""

    clients: Callable[[], Iterable[Client]]
    tcp_port: int = -1
    http_port: int = -1
    start_time: float = 0.0
    memory: Callable[[], dict[str, int]] = dict


class HttpApi:
    """The endpoints."""

    def __init__(self, broker: Broker, node: Node) -> None:
        self._broker = broker
        self._node = node

    def routes(self) -> list[Endpoint]:
        """The table of endpoints."""
        return [
            Endpoint("GET", "/ping", self.ping, plain=True),
            Endpoint("GET", "/info", self.info),
            Endpoint("POST", "/pub", self.publish, quiet=True),
            Endpoint("POST", "/mpub", self.publish, quiet=True),
            Endpoint("GET", "/stats", self.stats),
            Endpoint("POST", "/topic/create", self.topic_create),
            Endpoint("POST", "/topic/delete", self.topic_delete),
            Endpoint("POST", "/topic/empty", self.topic_empty),
            Endpoint("POST", "/topic/pause", self.topic_pause),
            Endpoint("POST", "/topic/unpause", self.topic_pause),
            Endpoint("POST", "/channel/create", self.channel_create),
            Endpoint("POST", "/channel/delete", self.channel_delete),
            Endpoint("POST", "/channel/empty", self.channel_empty),
            Endpoint("POST", "/channel/pause", self.channel_pause),
            Endpoint("POST", "/channel/unpause", self.channel_pause),
        ]

    # -- about the node ----------------------------------------------------------------------------

    def _health(self) -> str:
        error = self._broker.disk.error
        return "OK" if error is None else f"NOK - {go_reason(error)}"

    async def ping(self, _: Request) -> Answer:
        """Whether the last write to disk succeeded."""
        health = self._health()
        return answer(health, 200 if health == "OK" else 500, plain=True)

    async def info(self, _: Request) -> Body:
        """Versions, addresses and limits."""
        options = self._broker.options
        return {
            "version": NSQ_VERSION,
            "broadcast_address": options.broadcast_address,
            "hostname": socket.gethostname(),
            "http_port": self._node.http_port,
            "tcp_port": self._node.tcp_port,
            "start_time": int(self._node.start_time),
            "max_heartbeat_interval": int(options.max_heartbeat_interval),
            "max_output_buffer_size": options.max_output_buffer_size,
            "max_output_buffer_timeout": int(options.max_output_buffer_timeout),
            "max_deflate_level": options.max_deflate_level,
            "topology_zone": options.topology_zone,
            "topology_region": options.topology_region,
            "suite_version": suite_version(),
        }

    async def stats(self, request: Request) -> Body:
        """Depths, counts and clients; JSON in slices, so that thousands of topics do not hold up publishers."""
        args = await params_of(request)
        include_clients = args.get("include_clients", "true") not in _FALSE
        snapshot = stats.Snapshot(
            self._broker,
            self._node.clients(),
            start_time=self._node.start_time,
            health=self._health(),
            topic=args.get("topic", ""),
            channel=args.get("channel", ""),
            include_clients=include_clients,
            memory=self._node.memory() if args.get("include_mem", "true") not in _FALSE else None,
        )
        if args.get("format") != "json":
            return snapshot.text()
        topics: list[bytes] = []
        for n, (topic, channels) in enumerate(snapshot.chosen):
            topics.append(
                go_json(
                    stats.topic_stats(
                        topic, channels, include_clients=include_clients, only=args.get("topic", "")
                    )
                )
            )
            if n % STATS_SLICE == STATS_SLICE - 1:
                await asyncio.sleep(0)
        listed = b"null" if snapshot.unknown_topic else b"[" + b",".join(topics) + b"]"
        return b"".join(
            (go_json(snapshot.head())[:-1], b',"topics":', listed, b",", go_json(snapshot.tail())[1:])
        )

    # -- publishing --------------------------------------------------------------------------------

    async def publish(self, request: Request) -> Body:
        """``/pub`` and ``/mpub``: whatever the lane left to us, chunked bodies for one."""
        path = request.path
        limit, code = publish.body_limit(self._broker, path)
        if path == "/mpub":
            request.body.check(limit, HttpError(413, code))
            publish.topic_of(self._broker, publish.arguments(path, request.head.query, 0))
        body = await request.body.read(limit, HttpError(413, code))
        args = publish.arguments(path, request.head.query, len(body))
        if path == "/pub":
            ticket = publish.pub(self._broker, args, body)
        else:
            work = publish.mpub(self._broker, args, body)
            while True:
                try:
                    next(work)
                except StopIteration as done:
                    ticket = done.value
                    break
                await asyncio.sleep(0)
        if ticket is not None:
            await _done(ticket)
        return "OK"

    # -- topics ------------------------------------------------------------------------------------

    async def topic_create(self, request: Request) -> Body:
        """Creates a topic; fine if it is there."""
        name = _topic_name(query_of(request))
        if not valid_name(name):
            raise HttpError(400, "INVALID_TOPIC")
        try:
            self._broker.topic(name.encode())
        except Refused:
            raise publish.EXITING from None
        return None

    async def topic_delete(self, request: Request) -> Body:
        """Deletes a topic with all its messages; answered when no kill brings them back."""
        self._broker.delete_topic(self._topic(_topic_name(await params_of(request))))
        await self._broker.disk.settled()
        return None

    async def topic_empty(self, request: Request) -> Body:
        """Drops what no channel has got yet; answered when no kill brings it back."""
        name = _topic_name(await params_of(request))
        if not valid_name(name):
            raise HttpError(400, "INVALID_TOPIC")
        self._topic(name).empty()
        await self._broker.disk.settled()
        return None

    async def topic_pause(self, request: Request) -> Body:
        """Pauses or unpauses a topic; answered when that is stored."""
        topic = self._topic(_topic_name(await params_of(request)))
        topic.pause(request.path == "/topic/pause")
        await self._broker.stored()
        return None

    def _topic(self, name: str) -> Topic:
        topic = self._broker.topics.get(name.encode("utf-8", "surrogateescape"))
        if topic is None:
            raise HttpError(404, "TOPIC_NOT_FOUND")
        return topic

    # -- channels ----------------------------------------------------------------------------------

    async def _names(self, request: Request) -> tuple[Topic, str]:
        args = await params_of(request)
        topic = _topic_name(args)
        if not valid_name(topic):
            raise HttpError(400, "INVALID_ARG_TOPIC")
        channel = args.get("channel")
        if channel is None:
            raise HttpError(400, "MISSING_ARG_CHANNEL")
        if not valid_name(channel):
            raise HttpError(400, "INVALID_ARG_CHANNEL")
        return self._topic(topic), channel

    async def _channel(self, request: Request) -> tuple[Topic, Channel]:
        topic, name = await self._names(request)
        channel = topic.channels.get(name)
        if channel is None:
            raise HttpError(404, "CHANNEL_NOT_FOUND")
        return topic, channel

    async def channel_create(self, request: Request) -> Body:
        """Creates a channel of a topic that is there."""
        topic, name = await self._names(request)
        try:
            self._broker.channel(topic, name)
        except Refused:
            raise publish.EXITING from None
        return None

    async def channel_delete(self, request: Request) -> Body:
        """Deletes a channel with all its messages; disconnects its consumers; answered when no kill brings them back."""
        self._broker.delete_channel(*(await self._channel(request)))
        await self._broker.disk.settled()
        return None

    async def channel_empty(self, request: Request) -> Body:
        """Drops a channel's messages: waiting, in flight and deferred; answered when no kill brings them back."""
        (await self._channel(request))[1].empty()
        await self._broker.disk.settled()
        return None

    async def channel_pause(self, request: Request) -> Body:
        """Pauses or unpauses a channel; answered when that is stored."""
        (await self._channel(request))[1].pause(request.path == "/channel/pause")
        await self._broker.stored()
        return None


def _topic_name(args: dict[str, str]) -> str:
    name = args.get("topic")
    if name is None:
        raise HttpError(400, "MISSING_ARG_TOPIC")
    return name


async def _done(ticket: Ticket) -> None:
    """Waits for the disk; raises HttpError when it failed."""
    over = asyncio.Event()
    ticket.when_done(over.set)
    await over.wait()
    if ticket.error is not None:
        raise publish.EXITING
