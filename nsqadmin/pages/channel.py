"""One channel: is it behind, since when, does it get better, and who consumes it."""

from __future__ import annotations

from aiohttp import web

from nsqadmin.cluster.cluster import Cluster
from nsqadmin.history.series import History, Key
from nsqadmin.history.snapshot import NO_RATES, Rates
from nsqadmin.pages.clients import COLUMNS, LONGEST, found_in
from nsqadmin.pages.listing import Listing
from nsqadmin.pages.pictures import PERIODS, Pictures, period_of, quantiles_of
from nsqadmin.web import charts
from nsqadmin.web.html import Html, span
from nsqadmin.web.http_server import Route, query_of
from nsqcore.names import is_ephemeral

LONGEST_DRAIN_S = 30 * 86400.0
"""A backlog that would take longer is said not to shrink."""
STILL = 0.05
"""A difference between in and out of less than this share of what comes in is none."""


class ChannelPage:
    """``/topics/TOPIC/CHANNEL``."""

    def __init__(self, cluster: Cluster, html: Html, history: History) -> None:
        self.cluster = cluster
        self.html = html
        self.history = history

    def routes(self) -> list[Route]:
        """The one route, without the base path."""
        return [Route("GET", "/topics/{topic}/{channel}", self.page)]

    async def page(self, request: web.Request) -> web.Response:
        """Figures of this moment from its nodes, with its clients; rates and charts from the samples."""
        query = query_of(request)
        period = period_of(query.get("period", ""))
        listing = Listing.parse(query, COLUMNS)
        path = request.match_info
        found = await self.cluster.channel(path["topic"], path["channel"])
        channel = found.value
        topic_now = (await self.history.latest()).topics.get(channel.topic_name)
        rates = next(
            (c.rates for c in topic_now.channels if c.channel_name == channel.channel_name)
            if topic_now
            else iter(()),
            NO_RATES,
        )
        clients = found_in(channel.clients, listing)
        key = Key("channel", channel.topic_name, channel.channel_name)
        pictures = Pictures(self.history, key, PERIODS[period])
        drawn = [pictures.messages(), pictures.waiting(), pictures.in_flight(), pictures.trouble()]
        return self.html.page(
            request,
            "channel.html",
            problems=found.problems,
            channel=channel,
            listing=listing,
            columns=COLUMNS,
            clients=clients[:LONGEST],
            found=len(clients),
            rates=rates,
            outlook=outlook(channel.depth, rates),
            charts=[picture for picture in (*drawn, pictures.latency()) if picture is not None],
            period=period,
            periods=list(PERIODS),
            ephemeral=is_ephemeral(channel.channel_name),
            quantiles=quantiles_of([channel]),
            paused_nodes=sum(part.paused for part in channel.nodes),
            example_lookupd=next(iter(self.cluster.lookupds), ""),
            example_node=channel.nodes[0].node if channel.nodes else "",
        )


def outlook(depth: int, rates: Rates) -> str:
    """Where the backlog is going, if it goes on like this; nothing where there is none or nothing is known."""
    if not depth or rates.published is None or rates.finished is None:
        return ""
    shrinks = rates.finished - rates.published
    if abs(shrinks) <= STILL * max(rates.published, 1.0):
        return "stays as it is"
    if shrinks < 0:
        return f"grows by {charts.rate(-shrinks)}"
    seconds = depth / shrinks
    return f"empty in about {span(seconds)} at this rate" if seconds < LONGEST_DRAIN_S else "stays as it is"
