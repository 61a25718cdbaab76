"""Where one can go from every page: the pages there are, in the order that they are read in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from nsqadmin.web.http_server import Route


class Place(NamedTuple):
    """A page of the menu."""

    section: str
    """What a template says it is part of."""
    label: str
    path: str
    """Below the base path, without a slash."""
    key: str
    """``g`` and this letter lead there."""
    changes: bool = False
    """It is there to change things: no use to who may not."""


PLACES = (
    Place("overview", "Overview", "", "o"),
    Place("topics", "Topics", "topics", "t"),
    Place("nodes", "Nodes", "nodes", "n"),
    Place("lookup", "Lookup", "lookup", "l"),
    Place("map", "Map", "map", "m"),
    Place("counter", "Counter", "counter", "c"),
    Place("publish", "Publish", "publish", "p", changes=True),
    Place("audit", "Audit", "audit", "a", changes=True),
)


def menu(routes: Iterable[Route]) -> list[Place]:
    """The places that ``routes`` lead to."""
    served = {route.path for route in routes if route.method == "GET"}
    return [place for place in PLACES if f"/{place.path}" in served]
