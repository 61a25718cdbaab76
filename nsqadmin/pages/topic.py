"""One topic: how much comes in, its channels, and what each node has of it."""

from __future__ import annotations

from aiohttp import web

from nsqadmin.cluster.cluster import Cluster
from nsqadmin.history.series import History, Key, Metric
from nsqadmin.history.snapshot import NO_RATES, Snapshot
from nsqadmin.pages.pictures import PERIODS, Pictures, period_of, quantiles_of
from nsqadmin.web.html import Html
from nsqadmin.web.http_server import Route, query_of
from nsqcore.names import is_ephemeral

SPARK_POINTS = 30


class TopicPage:
    """``/topics/TOPIC``."""

    def __init__(self, cluster: Cluster, html: Html, history: History) -> None:
        self.cluster = cluster
        self.html = html
        self.history = history

    def routes(self) -> list[Route]:
        """The one route, without the base path."""
        return [Route("GET", "/topics/{topic}", self.page)]

    async def page(self, request: web.Request) -> web.Response:
        """Figures of this moment from its nodes; rates and charts from the samples."""
        period = period_of(query_of(request).get("period", ""))
        found = await self.cluster.topic(request.match_info["topic"])
        topic = found.value
        name = topic.topic_name
        snapshot = await self.history.latest()
        now = snapshot.topics.get(name)
        pictures = Pictures(self.history, Key("topic", name), PERIODS[period])
        return self.html.page(
            request,
            "topic.html",
            problems=found.problems,
            topic=topic,
            rates=now.rates if now else NO_RATES,
            channels_now={channel.channel_name: channel for channel in now.channels} if now else {},
            pasts={
                channel.channel_name: self.history.series(
                    Key("channel", name, channel.channel_name), Metric.DEPTH, PERIODS[period], SPARK_POINTS
                )
                for channel in topic.channels
            },
            charts=[pictures.messages(), pictures.waiting(), pictures.in_flight(), pictures.trouble()],
            period=period,
            periods=list(PERIODS),
            ephemeral=is_ephemeral(name),
            quantiles=quantiles_of(topic.channels),
            topic_quantiles=quantiles_of(topic.nodes),
            paused_nodes=sum(part.paused for part in topic.nodes),
            hidden_on=hidden_on(snapshot, name),
            by_lookupd=self.cluster.by_lookupd,
            example_node=topic.nodes[0].node if topic.nodes else "",
        )


def hidden_on(snapshot: Snapshot, topic: str) -> list[str]:
    """The nodes on which the topic is tombstoned: no nsqlookupd names them to its consumers for a while."""
    return [
        now.node.name
        for now in snapshot.nodes
        if any(one.name == topic and one.tombstoned for one in now.node.topics)
    ]
