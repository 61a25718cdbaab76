"""The picture of what flows from nodes through topics and channels to consumers."""

from __future__ import annotations

from aiohttp import web

from nsqadmin.cluster.cluster import Cluster, Unknown
from nsqadmin.cluster.model import Client, Problem
from nsqadmin.history.series import History
from nsqadmin.history.snapshot import Snapshot
from nsqadmin.pages.flow import flow_of
from nsqadmin.web.html import Html
from nsqadmin.web.http_server import Route, query_of


class MapPage:
    """``/map``, of the whole cluster or of ``?topic=``."""

    def __init__(self, cluster: Cluster, html: Html, history: History) -> None:
        self.cluster = cluster
        self.html = html
        self.history = history

    def routes(self) -> list[Route]:
        """The one route, without the base path."""
        return [Route("GET", "/map", self.page)]

    async def page(self, request: web.Request) -> web.Response:
        """The map; raises Unknown for a topic that nobody knows."""
        only = query_of(request).get("topic", "").strip()
        snapshot = await self.history.latest()
        if only and only not in snapshot.topics:
            raise Unknown("TOPIC_NOT_FOUND", snapshot.problems)
        consumers, problems = await self._consumers(snapshot, only) if only else ({}, [])
        flow = flow_of(snapshot, only, consumers)
        silent = {problem.address for problem in snapshot.problems}
        return self.html.page(
            request,
            "map.html",
            as_of=snapshot.at,
            problems=[*snapshot.problems, *(p for p in problems if p.address not in silent)],
            snapshot=snapshot,
            only=only,
            flow=flow,
            layout=flow.layout(),
        )

    async def _consumers(
        self, snapshot: Snapshot, topic: str
    ) -> tuple[dict[str, list[Client]], list[Problem]]:
        """The clients of each channel of a topic, from the nodes that hold it and answered the last sample."""
        holding = [node.node for node in snapshot.nodes if topic in node.published]
        query = {"topic": topic, "include_mem": "false"}
        found = await self.cluster.stats(holding, query, at_least_one=False)
        clients: dict[str, list[Client]] = {}
        for stats in found.value.values():
            for part in stats.topics:
                for channel in part.channels if part.topic_name == topic else ():
                    clients.setdefault(channel.channel_name, []).extend(channel.clients)
        return clients, found.problems
