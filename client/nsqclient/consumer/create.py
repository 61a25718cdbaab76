"""Creates a topic and its channel on all nsqds that nsqlookupds know, before anything is received."""

from __future__ import annotations

import asyncio
import logging

from nsqclient.discovery.discovery import Discovery
from nsqclient.discovery.found import FoundNode
from nsqclient.discovery.targets import Lookup
from nsqclient.errors import ApiError
from nsqclient.pauses import Chance
from nsqcore.addresses import HostPort

log = logging.getLogger(__name__)


async def create_everywhere(lookup: Lookup, topic: str, channel: str, chance: Chance) -> frozenset[str]:
    """The addresses of the nsqds that have both now; those that could not be asked are logged.

    It takes no longer than a poll of the nsqlookupds and, on all nsqds at once, two requests.
    """
    discovery = Discovery(lookup, None, lambda named, complete: None, chance)
    polling = asyncio.create_task(discovery.run(), name="nsqclient consumer create")
    polled = asyncio.create_task(discovery.polled.wait(), name="nsqclient consumer create poll")
    try:
        await asyncio.wait([polling, polled], return_when=asyncio.FIRST_COMPLETED)
        if polling.done():
            polling.result()  # it only ends by breaking
    finally:
        polling.cancel()
        polled.cancel()
        await asyncio.wait([polling, polled])
    nodes = [node for node in discovery.nodes.values() if node.http_port]
    made = await asyncio.gather(*(_create(node, lookup, topic, channel) for node in nodes))
    return frozenset(node.address for node, done in zip(nodes, made, strict=True) if done)


async def _create(node: FoundNode, lookup: Lookup, topic: str, channel: str) -> bool:
    from nsqclient.http.nsqd import Nsqd  # late: aiohttp takes long to import

    address = str(HostPort(node.broadcast_address, node.http_port))
    try:
        async with Nsqd(
            address, timeout=lookup.request_timeout, connect_timeout=lookup.connect_timeout
        ) as http:
            await http.create_topic(topic)
            await http.create_channel(topic, channel)
    except ApiError as e:
        where = {"topic": topic, "channel": channel, "node": node.address}
        log.warning("can't create %s/%s at %s - %s", topic, channel, address, e, extra=where)
        return False
    return True
