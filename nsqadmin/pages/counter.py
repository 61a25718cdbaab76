"""The messages of the whole cluster as one large number, for a screen on the wall."""

from __future__ import annotations

from aiohttp import web

from nsqadmin.history.series import CLUSTER, History
from nsqadmin.history.snapshot import Snapshot
from nsqadmin.pages.pictures import Pictures
from nsqadmin.web.html import Html
from nsqadmin.web.http_server import Route

HOUR_S = 3600.0


class CounterPage:
    """``/counter``."""

    def __init__(self, html: Html, history: History) -> None:
        self.html = html
        self.history = history

    def routes(self) -> list[Route]:
        """The one route, without the base path."""
        return [Route("GET", "/counter", self.page)]

    async def page(self, request: web.Request) -> web.Response:
        """The number, how fast it grows, and the last hour."""
        snapshot = await self.history.latest()
        count, rate = processed(snapshot)
        return self.html.page(
            request,
            "counter.html",
            as_of=snapshot.at,
            problems=snapshot.problems,
            count=count,
            rate=rate,
            interval=self.history.interval,
            left_out=sum(node.problem is not None or node.gone for node in snapshot.nodes),
            charts=[Pictures(self.history, CLUSTER, HOUR_S).messages()],
        )


def processed(snapshot: Snapshot) -> tuple[int, float | None]:
    """Messages over all channels since the nodes started, and how many more per second.

    As in ``/api/counter``: a message counts once for each channel that got it, and not at all where its topic has
    none. The rate is None while it is not known.
    """
    channels = [channel for topic in snapshot.topics.values() for channel in topic.channels]
    rates = [channel.rates.published for channel in channels if channel.rates.published is not None]
    return sum(channel.message_count for channel in channels), sum(rates) if rates else None
