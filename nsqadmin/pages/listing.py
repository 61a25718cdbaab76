"""Which topics a page lists, and in which order: search and sort as the address says. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nsqadmin.history.snapshot import TopicNow

LONGEST = 1000
"""Rows on one page; more are found by searching."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column that the table of topics can be sorted by."""

    key: str
    label: str
    value: Callable[[TopicNow], str | float]
    hint: str = ""

    @property
    def numeric(self) -> bool:
        """Whether it holds numbers, which sort highest first."""
        return self.key != "topic"


COLUMNS = (
    Column("topic", "Topic", lambda topic: topic.topic_name.lower()),
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
_BY_KEY = {column.key: column for column in COLUMNS}


@dataclass(frozen=True, slots=True)
class Listing:
    """A search and an order."""

    search: str = ""
    column: Column = COLUMNS[0]
    descending: bool = False

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Listing:
        """Reads ``q``, ``sort`` and ``order``; what makes no sense is as if it were not there."""
        column = _BY_KEY.get(query.get("sort", ""), COLUMNS[0])
        order = query.get("order", "")
        descending = order == "desc" if order in ("asc", "desc") else column.numeric
        return cls(query.get("q", "").strip(), column, descending)

    def query(self, column: Column | None = None) -> dict[str, str]:
        """The parameters of this listing, or of the one that a click on ``column`` leads to."""
        descending = self.descending
        if column is not None:
            descending = not self.descending if column is self.column else column.numeric
        column = column or self.column
        query = {"q": self.search} if self.search else {}
        if column is not COLUMNS[0] or descending:
            query["sort"] = column.key
        if descending != column.numeric:
            query["order"] = "desc" if descending else "asc"
        return query

    def arrange(self, topics: Sequence[TopicNow]) -> list[TopicNow]:
        """The topics found, in order; equal ones by name, whichever way the others go."""
        wanted = self.search.lower()
        found = sorted(
            (topic for topic in topics if wanted in topic.topic_name.lower()),
            key=lambda topic: topic.topic_name,
        )
        found.sort(key=lambda topic: self.column.value(topic), reverse=self.descending)
        return found
