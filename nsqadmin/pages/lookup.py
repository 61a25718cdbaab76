"""The nsqlookupds, what they disagree about, and the topics that nobody produces any more."""

from __future__ import annotations

from aiohttp import web

from nsqadmin.cluster.cluster import Cluster, Found, Unreachable
from nsqadmin.history.series import History
from nsqadmin.web.html import Html
from nsqadmin.web.http_server import Route


class LookupPage:
    """``/lookup``."""

    def __init__(self, cluster: Cluster, html: Html, history: History) -> None:
        self.cluster = cluster
        self.html = html
        self.history = history

    def routes(self) -> list[Route]:
        """The one route, without the base path."""
        return [Route("GET", "/lookup", self.page)]

    async def page(self, request: web.Request) -> web.Response:
        """Each nsqlookupd, and the inactive topics with the channels that are kept for them."""
        snapshot = await self.history.latest()
        try:
            idle = await self.cluster.idle_topics()
        except Unreachable as e:
            idle, nobody_answers = Found({}, e.problems), True
        else:
            nobody_answers = False
        return self.html.page(
            request,
            "lookup.html",
            as_of=snapshot.at,
            problems=idle.problems,
            by_lookupd=self.cluster.by_lookupd,
            nsqds=self.cluster.nsqds,
            lookupds=snapshot.lookupds,
            idle=idle.value,
            nobody_answers=nobody_answers,
            example_lookupd=next(iter(self.cluster.lookupds), ""),
        )
