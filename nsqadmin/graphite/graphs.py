"""Pictures of graphite for one visit: their addresses, and the period that the visitor chose. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import urlencode

from nsqadmin.graphite import targets
from nsqadmin.graphite.targets import ALL, Graph, Naming

OFF = "off"
PERIODS = ("1h", "2h", "12h", "24h", "48h", "168h", OFF)
DEFAULT_PERIOD = "2h"
MOST_NODES = 20
"""Nodes that a page shows graphs of one by one: with 200 it would be megabytes of addresses."""

_COMMON = {
    "bgcolor": "ff000000",  # transparent
    "fgcolor": "808080",  # to be read on white and on black
    "yMin": "0",
    "lineMode": "connected",
    "drawNullAsZero": "false",
}
_SMALL = {
    "width": "296",
    "height": "96",
    "hideLegend": "true",
    "hideGrid": "true",
    "fontSize": "8",
    "margin": "2",
}
_LARGE = {"width": "800", "height": "450"}


class Picture(NamedTuple):
    """A graph as a page shows it."""

    title: str
    small: str
    """Address of the picture in the page."""
    large: str
    """Address of the one that a click opens."""


class Period(NamedTuple):
    """An entry of the menu."""

    name: str
    link: str
    chosen: bool


class Graphs:
    """What graphite has of the things on a page, over the period that was chosen."""

    def __init__(self, naming: Naming, base: str, period: str, menu: Sequence[Period], minute: int) -> None:
        """``base`` is where ``/render`` is below; ``minute`` makes a browser fetch a picture anew when it changes."""
        self.period = period
        self.menu = menu
        self._naming = naming
        self._base = base
        self._minute = minute

    @property
    def on(self) -> bool:
        """Whether there is anything to show."""
        return self.period != OFF

    def topic(self, name: str, node: str = "", quantiles: Sequence[float] = ()) -> list[Picture]:
        """Of a topic, on all nodes unless one (``host:port``) is named."""
        return self._pictures(targets.of_topic(self._naming, name, node or ALL, quantiles))

    def channel(
        self, topic: str, name: str, node: str = "", quantiles: Sequence[float] = ()
    ) -> list[Picture]:
        """Of a channel, on all nodes unless one is named."""
        return self._pictures(targets.of_channel(self._naming, topic, name, node or ALL, quantiles))

    def on_nodes(
        self, nodes: Iterable[str], topic: str, channel: str = "", quantiles: Sequence[float] = ()
    ) -> list[tuple[str, list[Picture]]]:
        """Of a topic or a channel on each of the ``nodes``; of none when there are more than :data:`MOST_NODES`."""
        names = list(nodes)
        if not 1 < len(names) <= MOST_NODES or not self.on:
            return []
        if channel:
            return [(node, self.channel(topic, channel, node, quantiles)) for node in names]
        return [(node, self.topic(topic, node, quantiles)) for node in names]

    def node(self, name: str) -> list[Picture]:
        """Of a node's memory."""
        return self._pictures(targets.of_node(self._naming, name))

    def counter(self) -> list[Picture]:
        """Of all that went into channels."""
        return self._pictures(targets.of_counter(self._naming))

    def _pictures(self, graphs: Sequence[Graph]) -> list[Picture]:
        if not self.on:
            return []
        return [Picture(g.title, self._address(g, _SMALL), self._address(g, _LARGE)) for g in graphs]

    def _address(self, graph: Graph, size: dict[str, str]) -> str:
        step = f"{self._naming.interval}sec"
        query = [
            *(("target", f'summarize({target},"{step}","avg")') for target in graph.targets),
            *size.items(),
            *_COMMON.items(),
            ("colorList", graph.colours),
            ("from", f"-{self.period}"),
            ("until", "-1min"),
            ("_salt", str(self._minute)),
        ]
        return f"{self._base}/render?{urlencode(query, errors='replace')}"
