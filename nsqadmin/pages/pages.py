"""The pages that people read."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from nsqadmin.cluster.cluster import NSQLOOKUPD, Cluster, Found, Overview
from nsqadmin.cluster.model import Channel, Client, NodeStats, Topic
from nsqadmin.history.series import History
from nsqadmin.web.html import Html
from nsqadmin.web.http_server import Route


@dataclass(slots=True)
class Totals:
    """The cluster in a line."""

    nodes: int
    silent: int
    """Nodes that do not answer."""
    topics: int
    topic_depth: int
    channel_depth: int
    in_flight: int
    messages: int
    clients: int


class Pages:
    """Topics, Topic, Channel, Nodes and Node; they change nothing."""

    def __init__(self, cluster: Cluster, html: Html, history: History) -> None:
        self.cluster = cluster
        self.history = history
        self.html = html

    def routes(self) -> list[Route]:
        """The pages' routes, without the base path."""
        return [
            Route("GET", "/nodes", self.nodes),
            Route("GET", "/nodes/{node}", self.node),
        ]

    async def nodes(self, request: web.Request) -> web.Response:
        """Every node, and whether it answers."""
        found = await self.cluster.overview(at_least_one=False)
        nodes = found.value.nodes
        return self.html.page(
            request,
            "nodes.html",
            problems=found.problems,
            nodes=nodes,
            stats=found.value.stats,
            totals=totals_of(found),
            places=any(node.topology_region or node.topology_zone for node in nodes),
            lookupds=self.cluster.lookupds,
            answering=len(self.cluster.lookupds) - sum(p.daemon == NSQLOOKUPD for p in found.problems),
        )

    async def node(self, request: web.Request) -> web.Response:
        """One node: what it is, what it holds, who is connected."""
        found = await self.cluster.node(request.match_info["node"])
        node, stats = found.value
        return self.html.page(
            request,
            "node.html",
            problems=found.problems,
            node=node,
            stats=stats,
            clients=_clients(stats),
            tombstoned={topic.name for topic in node.topics if topic.tombstoned},
            lookupds=self.cluster.lookupds,
        )


def totals_of(overview: Found[Overview]) -> Totals:
    """Adds everything up."""
    topics, nodes = overview.value.topics, overview.value.nodes
    return Totals(
        nodes=len(nodes),
        silent=len(nodes) - len(overview.value.stats),
        topics=len(topics),
        topic_depth=sum(topic.depth for topic in topics),
        channel_depth=sum(topic.channel_depth for topic in topics),
        in_flight=sum(topic.in_flight_count for topic in topics),
        messages=sum(topic.message_count for topic in topics),
        clients=sum(topic.client_count for topic in topics),
    )


def _clients(stats: NodeStats) -> list[tuple[Topic, Channel, Client]]:
    return [(t, c, client) for t in stats.topics for c in t.channels for client in c.clients]
