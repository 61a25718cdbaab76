"""Every node: whether it answers, since when it does not, what it runs, what waits there."""

from __future__ import annotations

from aiohttp import web

from nsqadmin.cluster.cluster import Cluster
from nsqadmin.history.series import History
from nsqadmin.history.snapshot import NodeNow
from nsqadmin.pages.listing import Column, Listing
from nsqadmin.web.html import Html
from nsqadmin.web.http_server import Route, query_of

COLUMNS: tuple[Column[NodeNow], ...] = (
    Column("node", "Node", lambda now: by_host(now), "sorts by host, then by address", numeric=False),
    Column("host", "Host", lambda now: now.node.hostname, numeric=False),
    Column("state", "State", lambda now: now.silent_since, "sorts by who is silent, the latest first"),
    Column("tcp", "TCP", lambda now: now.node.tcp_port),
    Column("http", "HTTP", lambda now: now.node.http_port),
    Column("version", "Version", lambda now: now.node.version, numeric=False),
    Column("place", "Region / zone", lambda now: place_of(now), numeric=False),
    Column(
        "known",
        "nsqlookupd connections",
        lambda now: len(now.node.remote_addresses),
        "that it is registered with",
    ),
    Column("in", "Published", lambda now: now.rates.published or 0.0, "messages that came in, per second"),
    Column("waiting", "Waiting", lambda now: now.depth + now.channel_depth, "in its topics and channels"),
    Column("memory", "Memory", lambda now: now.heap_bytes, "that its process has in use"),
    Column("clients", "Clients", lambda now: now.client_count, "consumer connections"),
    Column("topics", "Topics", lambda now: now.topic_count),
)


def by_host(now: NodeNow) -> str:
    """Host and address, in which people look for a node."""
    return f"{now.node.hostname} {now.node.name}"


def place_of(now: NodeNow) -> str:
    """Region and zone, as far as it has them."""
    return " / ".join(filter(None, (now.node.topology_region, now.node.topology_zone)))


class NodesPage:
    """``/nodes``."""

    def __init__(self, cluster: Cluster, html: Html, history: History) -> None:
        self.cluster = cluster
        self.html = html
        self.history = history

    def routes(self) -> list[Route]:
        """The one route, without the base path."""
        return [Route("GET", "/nodes", self.page)]

    async def page(self, request: web.Request) -> web.Response:
        """Every node as the newest sample has it, silent and gone ones too."""
        snapshot = await self.history.latest()
        listing = Listing.parse(query_of(request), COLUMNS)
        unneeded = set() if any(map(place_of, snapshot.nodes)) else {"place"}
        if not self.cluster.by_lookupd:
            unneeded.add("known")
        found = listing.arrange(snapshot.nodes, by_host)
        return self.html.page(
            request,
            "nodes.html",
            as_of=snapshot.at,
            problems=snapshot.problems,
            snapshot=snapshot,
            nodes=found,
            listing=listing,
            columns=[column for column in COLUMNS if column.key not in unneeded],
            shown={column.key for column in COLUMNS} - unneeded,
            place_of=place_of,
            silent=sum(now.problem is not None for now in snapshot.nodes),
            gone=sum(now.gone for now in snapshot.nodes),
            newest=next((now.node.version for now in snapshot.nodes if not now.node.out_of_date), ""),
            lookupds=self.cluster.lookupds,
            answering=sum(lookupd.problem is None for lookupd in snapshot.lookupds),
        )
