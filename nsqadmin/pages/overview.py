"""The first page: how the cluster is, how it was in the last hour, and what to look at."""

from __future__ import annotations

from aiohttp import web

from nsqadmin.history.series import CLUSTER, History, Key, Metric
from nsqadmin.history.snapshot import ChannelNow, Snapshot, TopicNow
from nsqadmin.pages.attention import findings
from nsqadmin.pages.pictures import Pictures
from nsqadmin.web.html import Html
from nsqadmin.web.http_server import Route

HOUR_S = 3600.0
MOST_FINDINGS = 20
LEADERS = 6


class OverviewPage:
    """``/``."""

    def __init__(self, html: Html, history: History) -> None:
        self.html = html
        self.history = history

    def routes(self) -> list[Route]:
        """The one route, without the base path."""
        return [Route("GET", "/", self.page)]

    async def page(self, request: web.Request) -> web.Response:
        """Totals, charts of the last hour, what needs attention, the busiest and the deepest."""
        snapshot = await self.history.latest()
        found = findings(snapshot, self.history.series)
        pictures = Pictures(self.history, CLUSTER, HOUR_S)
        return self.html.page(
            request,
            "overview.html",
            as_of=snapshot.at,
            snapshot=snapshot,
            problems=snapshot.problems,
            found=found[:MOST_FINDINGS],
            more=max(0, len(found) - MOST_FINDINGS),
            answering=sum(node.problem is None and not node.gone for node in snapshot.nodes),
            channels=sum(len(topic.channels) for topic in snapshot.topics.values()),
            charts=[pictures.messages(), pictures.waiting(), pictures.in_flight(), pictures.trouble()],
            busiest=[(topic, self._spark(topic)) for topic in busiest(snapshot)],
            deepest=[(channel, self._spark(channel)) for channel in deepest(snapshot)],
            example_node=snapshot.nodes[0].node.http_address if snapshot.nodes else "",
        )

    def _spark(self, one: TopicNow | ChannelNow) -> object:
        if isinstance(one, ChannelNow):
            key = Key("channel", one.topic_name, one.channel_name)
            return self.history.series(key, Metric.DEPTH, HOUR_S, 60)
        return self.history.series(Key("topic", one.topic_name), Metric.PUBLISHED, HOUR_S, 60)


def busiest(snapshot: Snapshot) -> list[TopicNow]:
    """The topics that get most messages a second."""
    busy = [topic for topic in snapshot.topics.values() if topic.rates.published]
    return sorted(busy, key=lambda t: (-(t.rates.published or 0.0), t.topic_name))[:LEADERS]


def deepest(snapshot: Snapshot) -> list[ChannelNow]:
    """The channels in which most messages wait."""
    deep = [c for topic in snapshot.topics.values() for c in topic.channels if c.depth]
    return sorted(deep, key=lambda c: (-c.depth, c.topic_name, c.channel_name))[:LEADERS]
