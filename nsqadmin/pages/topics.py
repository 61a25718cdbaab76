"""The list of all topics, searched and sorted as the address says."""

from __future__ import annotations

from aiohttp import web

from nsqadmin.history.series import History, Key, Metric, Series
from nsqadmin.history.snapshot import Snapshot, TopicNow
from nsqadmin.pages.listing import Column, Listing
from nsqadmin.web.html import Html
from nsqadmin.web.http_server import Route, query_of

COLUMNS: tuple[Column[TopicNow], ...] = (
    Column("topic", "Topic", lambda topic: topic.topic_name.lower(), numeric=False),
    Column(
        "in", "Published", lambda topic: topic.rates.published or 0.0, "messages that came in, per second"
    ),
    Column(
        "out",
        "Finished",
        lambda topic: topic.rates.finished or 0.0,
        "messages that its channels were done with, per second; each channel counts its own copy",
    ),
    Column("depth", "Topic depth", lambda topic: topic.depth, "messages waiting in the topic's own queue"),
    Column(
        "channels-depth",
        "Channel depth",
        lambda topic: topic.channel_depth,
        "messages waiting in its channels, added up",
    ),
    Column(
        "disk",
        "Memory + disk",
        lambda topic: topic.backend_depth + topic.channel_backend_depth,
        "where the waiting messages are; sorts by those on disk",
    ),
    Column("in-flight", "In flight", lambda topic: topic.in_flight_count, "messages that consumers hold"),
    Column("messages", "Messages", lambda topic: topic.message_count, "published since the nodes started"),
    Column("channels", "Channels", lambda topic: len(topic.channels)),
    Column("clients", "Clients", lambda topic: topic.client_count, "consumer connections"),
    Column("nodes", "Nodes", lambda topic: topic.nodes, "nsqds that hold the topic"),
)
LONGEST = 1000
"""Rows on one page; more are found by searching."""
HOUR_S = 3600.0
SPARK_POINTS = 30


class TopicsPage:
    """``/topics``."""

    def __init__(self, html: Html, history: History) -> None:
        self.html = html
        self.history = history

    def routes(self) -> list[Route]:
        """The one route, without the base path."""
        return [Route("GET", "/topics", self.page)]

    async def page(self, request: web.Request) -> web.Response:
        """Every topic with its figures."""
        listing = Listing.parse(query_of(request), COLUMNS)
        snapshot = await self.history.latest()
        found = listing.arrange(snapshot.topics.values(), lambda topic: topic.topic_name)
        rows = found[:LONGEST]
        return self.html.page(
            request,
            "topics.html",
            as_of=snapshot.at,
            problems=snapshot.problems,
            snapshot=snapshot,
            listing=listing,
            columns=COLUMNS,
            found=len(found),
            topics=[
                (topic, self._past(topic, Metric.PUBLISHED), self._past(topic, Metric.DEPTH))
                for topic in rows
            ],
            longest_queue=max((t.depth + t.channel_depth for t in rows), default=0),
            silent_topics=silent_topics(snapshot),
            example_node=snapshot.nodes[0].node.http_address if snapshot.nodes else "",
        )

    def _past(self, topic: TopicNow, metric: Metric) -> Series:
        return self.history.series(Key("topic", topic.topic_name), metric, HOUR_S, SPARK_POINTS)


def silent_topics(snapshot: Snapshot) -> set[str]:
    """Topics of nodes that do not answer: what is not seen of them may well be there."""
    return {topic.name for node in snapshot.nodes if node.problem is not None for topic in node.node.topics}
