"""nsqadmin over real nsqds and nsqlookupds, each a process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.nsqadmin.world import Visitor, World
from tests.support.processes import DaemonProcess, spawn

DEADLINE_S = 20.0


class Cluster:
    """Two nsqlookupds, two nsqds that know both, and a nsqadmin over them."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        free = ("--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0")
        self.lookupds = [stack.enter_context(spawn("nsqlookupd", *free)) for _ in range(2)]
        self.nsqds: list[DaemonProcess] = []
        for name in ("one", "two"):
            (folder / name).mkdir()
            flags = [f"--lookupd-tcp-address={lookupd.tcp}" for lookupd in self.lookupds]
            flags += [f"--data-path={folder / name}", "--broadcast-address=127.0.0.1"]
            self.nsqds.append(stack.enter_context(spawn("nsqd", *free, *flags)))
        flags = [f"--lookupd-http-address={lookupd.http}" for lookupd in self.lookupds]
        self.by_lookupd = stack.enter_context(spawn("nsqadmin", "--http-address=127.0.0.1:0", *flags))
        flags = [f"--nsqd-http-address={nsqd.http}" for nsqd in self.nsqds]
        self.by_nsqd = stack.enter_context(spawn("nsqadmin", "--http-address=127.0.0.1:0", *flags))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(stack, tmp_path_factory.mktemp("cluster"))


def _visitor(world: World, daemon: DaemonProcess) -> Visitor:
    return Visitor(world.http, f"http://{daemon.http}")


async def _publish(world: World, nsqd: DaemonProcess, topic: str, count: int) -> None:
    answer = await _visitor(world, nsqd).post(f"/mpub?topic={topic}", data=b"\n".join([b"x"] * count))
    assert answer.status == 200


async def _until_registered(admin: Visitor, topic: str, nodes: int) -> None:
    """Registration takes a moment: nsqd tells nsqlookupd after it has made the topic."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        answer = await admin.get(f"/api/topics/{topic}")
        if answer.status == 200 and len(answer.json["nodes"] or []) == nodes:
            return
        assert time.monotonic() < deadline, answer.text
        await asyncio.sleep(0.02)


async def test_what_was_published_is_seen_topic_by_topic(cluster: Cluster, world: World) -> None:
    await _publish(world, cluster.nsqds[0], "seen", 3)
    await _publish(world, cluster.nsqds[1], "seen", 4)
    for daemon in (cluster.by_lookupd, cluster.by_nsqd):
        admin = _visitor(world, daemon)
        await _until_registered(admin, "seen", 2)
        answer = (await admin.get("/api/topics/seen")).json
        assert (answer["depth"], answer["message_count"], answer["message"]) == (7, 7, "")
        page = (await admin.get("/topics/seen")).page
        assert sorted(row["Depth"] for row in page.table()) == ["3", "4", "7"]
        found = await admin.until("/topics", "seen")
        rows = {row["Topic"]: row for row in found.page.table()}
        assert (rows["seen"]["Topic depth"], rows["seen"]["Nodes"]) == ("7", "2")


async def test_nodes_are_those_that_run(cluster: Cluster, world: World) -> None:
    admin = _visitor(world, cluster.by_lookupd)
    nodes = (await admin.get("/api/nodes")).json["nodes"]
    assert {f"{node['broadcast_address']}:{node['http_port']}" for node in nodes} == {
        nsqd.http for nsqd in cluster.nsqds
    }
    assert [len(node["remote_addresses"]) for node in nodes] == [2, 2]
    for row in (await admin.get("/nodes")).page.table():
        assert row["State"].startswith("OK up ")
        assert row["nsqlookupd connections"].startswith("2 of 2 127.")
    page = (await admin.get(f"/nodes/{cluster.nsqds[0].http}")).page
    assert "1.3.0" in page.words


async def test_every_action_takes_effect(cluster: Cluster, world: World) -> None:
    admin = _visitor(world, cluster.by_lookupd)
    for nsqd in cluster.nsqds:
        await _publish(world, nsqd, "acted", 5)
    await _until_registered(admin, "acted", 2)

    async def shown() -> tuple[int, bool, dict[str, tuple[int, bool]]]:
        answer = (await admin.get("/api/topics/acted")).json
        channels = {c["channel_name"]: (c["depth"], c["paused"]) for c in answer["channels"] or []}
        return answer["depth"], answer["paused"], channels

    async def say_yes(path: str, **fields: str) -> None:
        answer = await admin.confirm(path, **fields)
        assert (answer.status, answer.page.title[:6]) == (200, "Done: "), answer.page.words

    await say_yes("/actions/pause?topic=acted")
    assert await shown() == (10, True, {})
    await say_yes("/actions/create?topic=acted", channel="c")
    assert await shown() == (10, True, {"c": (0, False)})
    await say_yes("/actions/empty?topic=acted")
    assert await shown() == (0, True, {"c": (0, False)})
    await say_yes("/actions/unpause?topic=acted")
    await _publish(world, cluster.nsqds[0], "acted", 4)
    deadline = time.monotonic() + DEADLINE_S
    while await shown() != (0, False, {"c": (4, False)}):
        assert time.monotonic() < deadline, await shown()
        await asyncio.sleep(0.02)
    await say_yes("/actions/pause?topic=acted&channel=c")
    assert await shown() == (0, False, {"c": (4, True)})
    assert "4 messages waiting" in (await admin.get("/actions/empty?topic=acted&channel=c")).page.words
    await say_yes("/actions/empty?topic=acted&channel=c")
    assert await shown() == (0, False, {"c": (0, True)})
    await say_yes("/actions/unpause?topic=acted&channel=c")
    await say_yes("/actions/delete?topic=acted&channel=c")
    assert (await admin.get("/api/topics/acted/c")).json == {"message": "CHANNEL_NOT_FOUND"}
    await say_yes(f"/actions/tombstone?topic=acted&node={cluster.nsqds[0].http}")
    await _until_registered(admin, "acted", 1)
    await say_yes("/actions/delete?topic=acted")
    assert (await admin.get("/topics/acted")).status == 404
    assert (await admin.get("/api/topics/acted")).json == {"message": "TOPIC_NOT_FOUND"}


async def test_a_topic_made_here_is_known_before_its_first_message(cluster: Cluster, world: World) -> None:
    admin = _visitor(world, cluster.by_lookupd)
    answer = await admin.post("/api/topics", json={"topic": "early", "channel": "c"})
    assert answer.text == '{"message":""}'
    assert (await admin.get("/api/topics?inactive=true")).json["topics"]["early"] == ["c"]
    await _publish(world, cluster.nsqds[0], "early", 2)
    await _until_registered(admin, "early", 1)
    deadline = time.monotonic() + DEADLINE_S
    while (await admin.get("/api/topics/early/c")).json["depth"] != 2:  # the channel missed none
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_without_nsqlookupds_a_topic_is_created_where_it_can_be_seen(
    cluster: Cluster, world: World
) -> None:
    admin = _visitor(world, cluster.by_nsqd)
    await admin.confirm("/actions/create", topic="direct", channel="c")
    answer = (await admin.get("/api/topics/direct")).json
    assert len(answer["nodes"]) == 2
    await admin.confirm("/actions/delete?topic=direct")
    assert (await admin.get("/api/topics/direct")).status == 404
