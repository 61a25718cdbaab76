"""The HTTP API: what consumers, nsqadmin and people ask and change."""

from __future__ import annotations

import logging
import time

from nsqcore.api_server import Endpoint, params_of, require
from nsqcore.errors import HttpError
from nsqcore.http_exchange import Body, Request
from nsqcore.names import valid_name
from nsqcore.version import NSQ_VERSION, suite_version
from nsqlookupd.registry import Producer, Registry

log = logging.getLogger(__name__)

_GO_ZERO_TIME = -6795364578871345152
"""The Unix nanoseconds of a Go time that was never set, as the original shows it."""


class HttpApi:
    """The endpoints of one registry."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def routes(self) -> list[Endpoint]:
        """The table of endpoints."""
        return [
            Endpoint("GET", "/ping", self.ping, plain=True),
            Endpoint("GET", "/info", self.info),
            Endpoint("GET", "/topics", self.topics),
            Endpoint("GET", "/channels", self.channels),
            Endpoint("GET", "/lookup", self.lookup),
            Endpoint("GET", "/nodes", self.nodes),
            Endpoint("GET", "/debug", self.debug),
            Endpoint("POST", "/topic/create", self.create_topic),
            Endpoint("POST", "/topic/delete", self.delete_topic),
            Endpoint("POST", "/channel/create", self.create_channel),
            Endpoint("POST", "/channel/delete", self.delete_channel),
            Endpoint("POST", "/topic/tombstone", self.tombstone),
        ]

    async def ping(self, request: Request) -> Body:
        """Whether we live."""
        return "OK"

    async def info(self, request: Request) -> Body:
        """What we are."""
        return {"version": NSQ_VERSION, "suite_version": suite_version()}

    async def topics(self, request: Request) -> Body:
        """All topics, with and without producers."""
        return {"topics": self.registry.topics()}

    async def channels(self, request: Request) -> Body:
        """A topic's channels; none for an unknown topic."""
        return {"channels": self.registry.channels(require(await params_of(request), "topic"))}

    async def lookup(self, request: Request) -> Body:
        """Where a topic can be consumed."""
        topic = require(await params_of(request), "topic")
        producers = self.registry.lookup(topic)
        if producers is None:
            raise HttpError(404, "TOPIC_NOT_FOUND")
        return {
            "channels": self.registry.channels(topic),
            "producers": [peer.as_json() for peer in producers],
        }

    async def nodes(self, request: Request) -> Body:
        """The nsqd that are connected, and what each carries."""
        return {
            "producers": [
                {**node.peer.as_json(), "tombstones": node.tombstones, "topics": node.topics}
                for node in self.registry.nodes()
            ]
        }

    async def debug(self, request: Request) -> Body:
        """Everything, inactive and tombstoned producers included."""
        # The registry's clock has an epoch of its own, so that setting the system's clock hides nobody.
        offset = time.time_ns() - self.registry.clock()
        return {
            ":".join(entry): [_debug(producer, offset) for producer in producers]
            for entry, producers in self.registry.dump().items()
        }

    async def create_topic(self, request: Request) -> Body:
        """Makes a topic known before a nsqd has it."""
        topic = _name(await params_of(request), "topic")
        log.info("DB: adding topic(%s)", topic)
        self.registry.create_topic(topic)
        return None

    async def delete_topic(self, request: Request) -> Body:
        """Forgets a topic; the nsqd that carry it are not told."""
        for category, topic, channel in self.registry.delete_topic(
            require(await params_of(request), "topic")
        ):
            if category == "channel":
                log.info("DB: removing channel(%s) from topic(%s)", channel, topic)
            else:
                log.info("DB: removing topic(%s)", topic)
        return None

    async def create_channel(self, request: Request) -> Body:
        """Makes a channel known: a nsqd that creates the topic later creates the channel with it."""
        query = await params_of(request)
        topic, channel = _name(query, "topic"), _name(query, "channel")
        log.info("DB: adding channel(%s) in topic(%s)", channel, topic)
        log.info("DB: adding topic(%s)", topic)
        self.registry.create_channel(topic, channel)
        return None

    async def delete_channel(self, request: Request) -> Body:
        """Forgets a channel."""
        query = await params_of(request)
        topic, channel = _name(query, "topic"), _name(query, "channel")
        if not self.registry.delete_channel(topic, channel):
            raise HttpError(404, "CHANNEL_NOT_FOUND")
        log.info("DB: removing channel(%s) from topic(%s)", channel, topic)
        return None

    async def tombstone(self, request: Request) -> Body:
        """Hides a topic's producer for the time that it takes to delete the topic there."""
        query = await params_of(request)
        topic, node = require(query, "topic"), require(query, "node")
        log.info("DB: setting tombstone for producer@%s of topic(%s)", node, topic)
        self.registry.tombstone(topic, node)
        return None


def _name(query: dict[str, str], what: str) -> str:
    name = require(query, what)
    if not valid_name(name):
        raise HttpError(400, f"INVALID_ARG_{what.upper()}")
    return name


def _debug(producer: Producer, offset: int) -> dict[str, object]:
    peer, tombstoned_at = producer.peer, producer.tombstoned_at
    return {
        "broadcast_address": peer.broadcast_address,
        "hostname": peer.hostname,
        "http_port": peer.http_port,
        "id": peer.remote_address,
        "last_update": producer.last_update + offset,
        "tcp_port": peer.tcp_port,
        "tombstoned": tombstoned_at is not None,
        "tombstoned_at": _GO_ZERO_TIME if tombstoned_at is None else tombstoned_at + offset,
        "topology_region": peer.topology_region,
        "topology_zone": peer.topology_zone,
        "version": peer.version,
    }
