"""What is asked of a cluster that is partly dead, hanging or lying."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from nsqadmin.cluster.cluster import Cluster, Unknown, Unreachable
from nsqcore.http_client import JsonClient
from tests.nsqadmin.world import World
from tests.support.fake_cluster import FakeLookupd, FakeNsqd, channel, client, topic


@pytest.fixture
async def client_() -> AsyncIterator[JsonClient]:
    async with JsonClient(connect_timeout=0.5, request_timeout=0.5) as json_client:
        yield json_client


def _by_lookupd(client_: JsonClient, *lookupds: FakeLookupd) -> Cluster:
    return Cluster(client_, lookupds=[lookupd.address for lookupd in lookupds], nsqds=[])


def _by_nsqd(client_: JsonClient, *nsqds: FakeNsqd) -> Cluster:
    return Cluster(client_, lookupds=[], nsqds=[nsqd.address for nsqd in nsqds])


async def test_topics_are_those_of_all_nsqlookupds(world: World, client_: JsonClient) -> None:
    one = await world.lookupd(await world.nsqd(topic("b")), registered={"ghost": []})
    two = await world.lookupd(await world.nsqd(topic("a")))
    found = await _by_lookupd(client_, one, two).topic_names()
    assert found.value == ["a", "b", "ghost"]
    assert found.problems == []


async def test_without_nsqlookupds_topics_are_those_of_the_nsqds(world: World, client_: JsonClient) -> None:
    nsqds = [await world.nsqd(topic("b")), await world.nsqd(topic("a"), topic("b"))]
    assert (await _by_nsqd(client_, *nsqds).topic_names()).value == ["a", "b"]


async def test_without_nsqlookupds_nodes_know_their_topics_and_versions(
    world: World, client_: JsonClient
) -> None:
    nsqds = [await world.nsqd(topic("a"), version="1.2.0"), await world.nsqd()]
    nodes = (await _by_nsqd(client_, *nsqds).nodes()).value
    assert [(node.name, [t.name for t in node.topics], node.out_of_date) for node in nodes] == [
        (nsqds[0].name, ["a"], True),
        (nsqds[1].name, [], False),
    ]


async def test_a_dead_node_is_a_problem_beside_the_answer(world: World, client_: JsonClient) -> None:
    live, dead = await world.nsqd(topic("t", depth=3)), await world.nsqd(topic("t", depth=5))
    lookupd = await world.lookupd(live, dead)
    await dead.stop()
    found = await _by_lookupd(client_, lookupd).topic("t")
    assert found.value.depth == 3
    assert [str(problem) for problem in found.problems] == [f"nsqd {dead.address}: connection refused"]


async def test_hanging_daemons_cost_their_time_out_once(world: World, client_: JsonClient) -> None:
    nsqds = [await world.nsqd(topic("t")) for _ in range(4)]
    lookupds = [await world.lookupd(*nsqds) for _ in range(3)]
    for daemon in (*nsqds[1:], *lookupds[1:]):
        daemon.hanging = True
    started = asyncio.get_running_loop().time()
    found = await _by_lookupd(client_, *lookupds).topic("t")
    took = asyncio.get_running_loop().time() - started
    assert took < 2.2, "0.5 s for all nsqlookupds, the same for all nsqds"
    assert len(found.value.nodes) == 1
    assert [problem.reason for problem in found.problems] == ["timed out"] * 5


@pytest.mark.parametrize(
    "lie", [b"<html>", b"[]", b'{"topics": 3}', b"[" * 100_000, b'{"topics":[{"depth":"1"}]}']
)
async def test_garbage_is_a_problem_beside_the_answer(world: World, client_: JsonClient, lie: bytes) -> None:
    honest, liar = await world.nsqd(topic("t", depth=3)), await world.nsqd(topic("t", depth=5))
    lookupd = await world.lookupd(honest, liar)
    liar.lies["/stats"] = lie
    for found in (
        await _by_lookupd(client_, lookupd).topic("t"),
        await _by_nsqd(client_, honest, liar).topic("t"),
    ):
        assert found.value.depth == 3
        assert [problem.address for problem in found.problems] == [liar.address]


async def test_when_all_fail_each_reason_is_told(world: World, client_: JsonClient) -> None:
    nsqd = await world.nsqd(topic("t"))
    lookupd = await world.lookupd(nsqd)
    cluster = _by_lookupd(client_, lookupd)
    await nsqd.stop()
    with pytest.raises(Unreachable) as failed:
        await cluster.topic("t")
    assert failed.value.status == 502
    expected = f"UPSTREAM_ERROR: failed to query any nsqd: nsqd {nsqd.address}: connection refused"
    assert failed.value.code == expected
    await lookupd.stop()
    with pytest.raises(Unreachable, match="failed to query any nsqlookupd"):
        await cluster.nodes()


async def test_a_topic_is_unknown_only_when_no_nsqlookupd_knows_it(world: World, client_: JsonClient) -> None:
    knows, does_not = await world.lookupd(await world.nsqd(topic("t"))), await world.lookupd()
    found = await _by_lookupd(client_, does_not, knows).topic("t")
    assert found.problems == []
    with pytest.raises(Unknown, match="TOPIC_NOT_FOUND"):
        await _by_lookupd(client_, does_not, knows).topic("nope")


async def test_a_topic_without_producers_is_there_and_empty(world: World, client_: JsonClient) -> None:
    cluster = _by_lookupd(client_, await world.lookupd(registered={"ghost": ["c"]}))
    ghost = (await cluster.topic("ghost")).value
    assert (ghost.nodes, [c.channel_name for c in ghost.channels]) == ([], ["c"])
    assert (await cluster.channel("ghost", "c")).value.nodes == []
    with pytest.raises(Unknown, match="CHANNEL_NOT_FOUND"):
        await cluster.channel("ghost", "nope")


async def test_without_nsqlookupds_topic_and_channel_are_told_apart_when_unknown(
    world: World, client_: JsonClient
) -> None:
    cluster = _by_nsqd(client_, await world.nsqd(topic("t", channel("c"))))
    with pytest.raises(Unknown, match="TOPIC_NOT_FOUND"):
        await cluster.topic("nope")
    with pytest.raises(Unknown, match="TOPIC_NOT_FOUND"):
        await cluster.channel("nope", "c")
    with pytest.raises(Unknown, match="CHANNEL_NOT_FOUND"):
        await cluster.channel("t", "nope")


async def test_a_channel_comes_with_the_clients_of_all_nodes(world: World, client_: JsonClient) -> None:
    nsqds = [
        await world.nsqd(
            topic("t", channel("c", clients=[client(f"w{i}")]), channel("other")), hostname=f"h{i}"
        )
        for i in range(2)
    ]
    found = (await _by_lookupd(client_, await world.lookupd(*nsqds)).channel("t", "c")).value
    assert [c.hostname for c in sorted(found.clients, key=lambda c: c.hostname)] == ["w0", "w1"]
    assert [part.hostname for part in found.nodes] == ["h0", "h1"]


async def test_pages_that_show_no_clients_do_not_ask_for_them(world: World, client_: JsonClient) -> None:
    nsqd = await world.nsqd(topic("t", channel("c")))
    cluster = _by_lookupd(client_, await world.lookupd(nsqd))
    await cluster.topic("t")
    await cluster.nodes()
    assert all("include_clients=false" in question for question in nsqd.questions)


async def test_a_node_is_found_by_the_address_it_broadcasts(world: World, client_: JsonClient) -> None:
    nsqd = await world.nsqd(topic("t", channel("c", clients=[client("w")])))
    for cluster in (_by_lookupd(client_, await world.lookupd(nsqd)), _by_nsqd(client_, nsqd)):
        node, stats = (await cluster.node(nsqd.name)).value
        assert (node.name, stats.topics[0].channels[0].clients[0].hostname) == (nsqd.name, "w")
        with pytest.raises(Unknown, match="NODE_NOT_FOUND"):
            await cluster.node("127.0.0.1:1")


async def test_a_nsqd_is_asked_where_we_were_told_to_ask_it(world: World, client_: JsonClient) -> None:
    nsqd = await world.nsqd(topic("t", depth=4), broadcast_address="not-reachable.invalid")
    found = (await _by_nsqd(client_, nsqd).topic("t")).value
    assert (found.depth, found.nodes[0].node) == (4, f"not-reachable.invalid:{nsqd.port}")


async def test_idle_topics_are_those_that_no_node_produces(world: World, client_: JsonClient) -> None:
    nsqd = await world.nsqd(topic("busy"), topic("hidden"))
    lookupd = await world.lookupd(nsqd, registered={"ghost": ["c"], "busy": []})
    lookupd.tombstones.add(("hidden", nsqd.name))
    cluster = _by_lookupd(client_, lookupd, await world.lookupd(registered={"ghost": ["d"]}))
    assert (await cluster.idle_topics()).value == {"ghost": ["c", "d"], "hidden": []}
    assert (await _by_nsqd(client_, nsqd).idle_topics()).value == {}


async def test_a_hanging_nsqlookupd_is_not_asked_for_every_idle_topic(
    world: World, client_: JsonClient
) -> None:
    many = {f"t{i}": ["c"] for i in range(100)}
    one, two = await world.lookupd(registered=many), await world.lookupd(registered=many)
    cluster = _by_lookupd(client_, one, two)
    two.lies["/channels"] = b"garbage"
    found = await cluster.idle_topics()
    assert found.value == many
    assert [problem.address for problem in found.problems] == [two.address]
    assert sum(question.startswith("/channels") for question in two.questions) < 100
