"""``topology-aware-consumption``: who is served first, and what is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nsqd.client import Settings
from nsqd.locality import Distance, Locality
from tests.support.nsqd import Node, RawClient

pytestmark = pytest.mark.usefixtures("quick_disk")

ENABLED = "--enable-experiment=topology-aware-consumption"
HERE = ("--topology-zone=z", "--topology-region=r")
ZONE, REGION, ELSEWHERE, NOWHERE = ("z", "r"), ("y", "r"), ("y", "q"), ("", "")


@pytest.mark.parametrize(
    ("node", "client", "distance", "rank"),
    [
        (ZONE, ZONE, Distance.ZONE, Distance.ZONE),
        (ZONE, ("z", "q"), Distance.ZONE, Distance.ZONE),
        (ZONE, REGION, Distance.REGION, Distance.REGION),
        (ZONE, ELSEWHERE, Distance.GLOBAL, Distance.GLOBAL),
        (ZONE, NOWHERE, Distance.GLOBAL, Distance.GLOBAL),
        (("", "r"), ("", "r"), Distance.ZONE, Distance.REGION),
        (("", "r"), REGION, Distance.REGION, Distance.REGION),
        (("", "r"), NOWHERE, Distance.ZONE, Distance.GLOBAL),
        (("z", ""), ("y", ""), Distance.REGION, Distance.GLOBAL),
        (NOWHERE, NOWHERE, Distance.ZONE, Distance.GLOBAL),
        (NOWHERE, ZONE, Distance.GLOBAL, Distance.GLOBAL),
    ],
)
def test_names_that_are_empty_count_as_equal_and_prefer_nobody(
    node: tuple[str, str], client: tuple[str, str], distance: Distance, rank: Distance
) -> None:
    here = Locality(zone=node[0], region=node[1])
    settings = Settings("me", "host", topology_zone=client[0], topology_region=client[1])
    assert (here.distance(settings), here.rank(settings)) == (distance, rank)


async def consumers(node: Node, *places: tuple[str, str], rdy: int) -> list[RawClient]:
    """A consumer in each place, with a name for it."""
    there = []
    for zone, region in places:
        settings = {"topology_zone": zone, "topology_region": region, "client_id": f"{zone}/{region}"}
        there.append(await node.subscribe("t", "c", 0, **settings))
    for consumer in there:
        consumer.rdy(rdy)
        await consumer.settled()
    return there


async def seen(node: Node, count: int) -> tuple[dict[str, int], dict[str, int]]:
    """What the channel counts, and what each consumer got, when so many messages were published in PUBs."""
    producer = await node.connect()
    await producer.pub("t", *[b"x"] * count)
    channel: dict[str, Any] = (await node.stats())["topics"][0]["channels"][0]
    assert all("_msg_count" not in key for client in channel["clients"] for key in client)
    got = {client["client_id"]: client["message_count"] for client in channel["clients"]}
    return {k: v for k, v in channel.items() if k.endswith("_msg_count")}, got


async def test_the_nearest_that_is_ready_gets_the_messages(tmp_path: Path) -> None:
    async with Node(tmp_path, ENABLED, *HERE) as node:
        await consumers(node, NOWHERE, REGION, ZONE, ELSEWHERE, rdy=100)
        assert await seen(node, 60) == (
            {"zone_local_msg_count": 60},
            {"z/r": 60, "y/r": 0, "y/q": 0, "/": 0},
        )


async def test_whoever_has_room_gets_what_the_nearer_ones_have_none_for(tmp_path: Path) -> None:
    async with Node(tmp_path, ENABLED, *HERE) as node:
        await consumers(node, ELSEWHERE, NOWHERE, REGION, ZONE, rdy=10)
        counts, got = await seen(node, 15)
        assert (got["z/r"], got["y/r"], got["y/q"] + got["/"]) == (10, 5, 0)
        assert counts == {"zone_local_msg_count": 10, "region_local_msg_count": 5}
        counts, got = await seen(node, 20)
        assert (got["z/r"], got["y/r"], got["y/q"] + got["/"]) == (10, 10, 15)
        assert list(counts.items()) == [
            ("zone_local_msg_count", 10),
            ("region_local_msg_count", 10),
            ("global_msg_count", 15),
        ]


async def test_a_batch_goes_to_the_nearest_first_too(tmp_path: Path) -> None:
    async with Node(tmp_path, ENABLED, *HERE) as node:
        far, near = await consumers(node, NOWHERE, ZONE, rdy=10)
        await (await node.connect()).mpub("t", *[b"%d" % n for n in range(14)])
        assert await near.bodies(10) == [b"%d" % n for n in range(10)]
        assert await far.bodies(4) == [b"%d" % n for n in range(10, 14)]


async def test_without_names_of_its_own_the_node_prefers_nobody(tmp_path: Path) -> None:
    async with Node(tmp_path, ENABLED) as node:
        await consumers(node, ZONE, NOWHERE, rdy=100)
        await (await node.connect()).mpub("t", *[b"x"] * 60)
        counts, got = await seen(node, 0)
        assert got == {"z/r": 30, "/": 30}
        assert counts == {"zone_local_msg_count": 30, "global_msg_count": 30}


async def test_without_the_experiment_all_are_alike_and_counted_as_such(tmp_path: Path) -> None:
    async with Node(tmp_path, "--enable-experiment=something-else", *HERE) as node:
        await consumers(node, ZONE, NOWHERE, rdy=100)
        await (await node.connect()).mpub("t", *[b"x"] * 60)
        counts, got = await seen(node, 0)
        assert got == {"z/r": 30, "/": 30}
        assert counts == {"global_msg_count": 60}


async def test_what_was_on_disk_is_not_counted(tmp_path: Path) -> None:
    async with Node(tmp_path, ENABLED, *HERE, "--mem-queue-size=0") as node:
        await consumers(node, ZONE, REGION, rdy=100)
        counts, got = await seen(node, 20)
        assert got == {"z/r": 20, "y/r": 0}
        assert counts == {}
