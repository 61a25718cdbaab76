"""The consumers of a channel as a table that can be searched and sorted."""

from __future__ import annotations

from collections.abc import Sequence

from nsqadmin.cluster.model import Client
from nsqadmin.pages.listing import Column, Listing

LONGEST = 500
"""Rows on one page; more are found by searching."""

COLUMNS: tuple[Column[Client], ...] = (
    Column("client", "Client", lambda client: f"{client.hostname} {client.remote_address}", numeric=False),
    Column("agent", "User agent", lambda client: client.user_agent, numeric=False),
    Column("attributes", "Attributes", lambda client: attributes_of(client), numeric=False),
    Column("node", "Node", lambda client: client.node, numeric=False),
    Column("in-flight", "In flight", lambda client: client.in_flight_count, "messages that it holds"),
    Column("ready", "Ready", lambda client: client.ready_count, "RDY: how many messages it takes at a time"),
    Column("finished", "Finished", lambda client: client.finish_count),
    Column("requeued", "Requeued", lambda client: client.requeue_count),
    Column("messages", "Messages", lambda client: client.message_count, "that were sent to it"),
    Column("connected", "Connected", lambda client: -client.connect_ts, "the longest first"),
)


def attributes_of(client: Client) -> str:
    """What makes a connection special, in words: those with the same sort together."""
    words = [
        ("TLS", client.tls),
        ("Deflate", client.deflate),
        ("Snappy", client.snappy),
        (f"samples {client.sample_rate}%", client.sample_rate),
        (client.auth_identity or "authenticated", client.authed),
        (f"{client.topology_region}/{client.topology_zone}", client.topology_region or client.topology_zone),
    ]
    return " ".join(word for word, has in words if has)


def found_in(clients: Sequence[Client], listing: Listing[Client]) -> list[Client]:
    """Those whose host, id, address, user agent, node or attributes hold the search, in order."""
    return listing.arrange(
        clients,
        lambda c: f"{c.hostname} {c.client_id} {c.remote_address} {c.user_agent} {c.node} {attributes_of(c)}",
    )
