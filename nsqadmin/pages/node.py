"""One node: what it is, what it holds, who is connected."""

from __future__ import annotations

from aiohttp import web

from nsqadmin.cluster.cluster import Cluster, Unknown, Unreachable
from nsqadmin.cluster.model import Channel, Client, NodeStats, Topic
from nsqadmin.history.series import History, Key
from nsqadmin.history.snapshot import NO_RATES
from nsqadmin.pages.pictures import PERIODS, Pictures, period_of
from nsqadmin.web.html import Html
from nsqadmin.web.http_server import Route, query_of

LONGEST = 500
"""Topics on one page; more are found by searching."""
SILENT = NodeStats(version="", health="", start_time=0, heap_bytes=0, topics=[])


class NodePage:
    """``/nodes/NODE``."""

    def __init__(self, cluster: Cluster, html: Html, history: History) -> None:
        self.cluster = cluster
        self.html = html
        self.history = history

    def routes(self) -> list[Route]:
        """The one route, without the base path."""
        return [Route("GET", "/nodes/{node}", self.page)]

    async def page(self, request: web.Request) -> web.Response:
        """What the node says of itself now; what is known of one that says nothing."""
        query = query_of(request)
        name = request.match_info["node"]
        snapshot = await self.history.latest()
        now = next((one for one in snapshot.nodes if one.node.name == name), None)
        try:
            found = await self.cluster.node(name)
        except (Unknown, Unreachable) as e:
            if now is None:
                raise
            node, stats, problems = now.node, SILENT, e.problems
        else:
            (node, stats), problems = found.value, found.problems
        period = period_of(query.get("period", ""))
        pictures = Pictures(self.history, Key("node", name), PERIODS[period])
        search = query.get("q", "").strip()
        topics = [topic for topic in stats.topics if _has(topic, search.lower())]
        return self.html.page(
            request,
            "node.html",
            problems=problems,
            node=node,
            stats=stats,
            silent=stats is SILENT,
            gone=now is not None and now.gone and stats is SILENT,
            silent_since=now.silent_since if now else 0,
            rates=now.rates if now else NO_RATES,
            charts=[pictures.messages(), pictures.waiting()],
            period=period,
            periods=list(PERIODS),
            search=search,
            topics=topics[:LONGEST],
            found=len(topics),
            clients=_clients(topics[:LONGEST]),
            client_count=sum(topic.client_count for topic in stats.topics),
            tombstoned={topic.name for topic in node.topics if topic.tombstoned},
            lookupds=self.cluster.lookupds,
        )


def _has(topic: Topic, wanted: str) -> bool:
    names = [topic.topic_name, *(channel.channel_name for channel in topic.channels)]
    return any(wanted in name.lower() for name in names)


def _clients(topics: list[Topic]) -> list[tuple[Topic, Channel, Client]]:
    return [(t, c, client) for t in topics for c in t.channels for client in c.clients]
