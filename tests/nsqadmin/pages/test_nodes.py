from __future__ import annotations

from tests.nsqadmin.world import World
from tests.support.fake_cluster import channel, client, topic


async def test_nodes_can_be_searched_and_sorted(world: World) -> None:
    nsqds = [
        await world.nsqd(topic("t", depth=depth), hostname=host)
        for host, depth in (("a", 1), ("b", 3), ("ab", 2))
    ]
    admin = await world.admin(await world.lookupd(*nsqds))
    assert [row["Host"] for row in (await admin.get("/nodes")).page.table()] == ["a", "ab", "b"]
    by_waiting = await admin.get("/nodes?sort=waiting&q=a")
    assert [row["Waiting"] for row in by_waiting.page.table()] == ["2", "1"]
    assert "2 nodes found" in by_waiting.page.words


async def test_a_node_that_is_gone_stays_in_sight_for_a_while(world: World) -> None:
    stays, goes = await world.nsqd(hostname="a"), await world.nsqd(hostname="b")
    lookupd = await world.lookupd(stays, goes)
    admin = await world.admin(lookupd)
    await admin.get("/nodes")
    lookupd.nodes.remove(goes)
    page = (await admin.until("/nodes", "gone")).page
    assert page.table()[1]["Node"] == goes.name
    assert "1 gone" in page.words
    gone = await admin.get(f"/nodes/{goes.name}")
    assert gone.status == 200
    assert "gone since" in gone.page.words
    assert f"curl http://{goes.name}/ping" in gone.page.words
    assert "1 node missing:" in (await admin.get("/counter")).page.words.replace("\u00a0", " ")


async def test_a_node_that_does_not_answer_has_a_page_with_what_is_known(world: World) -> None:
    live, dead = await world.nsqd(), await world.nsqd(topic("t"), hostname="deadhost")
    admin = await world.admin(await world.lookupd(live, dead))
    await admin.get("/nodes")
    await dead.stop()
    answer = await admin.until(f"/nodes/{dead.name}", "does not answer since")
    assert answer.status == 200
    assert "deadhost" in answer.page.words
    assert "connection refused" in answer.page.words


async def test_the_topics_of_a_node_can_be_searched_by_their_channels_too(world: World) -> None:
    topics = [topic(f"t{i}", channel(f"c{i}", clients=[client(f"host{i}")])) for i in range(10)]
    nsqd = await world.nsqd(*topics)
    admin = await world.admin(await world.lookupd(nsqd))
    page = (await admin.get(f"/nodes/{nsqd.name}?q=C7")).page
    assert [row["Topic, channel"] for row in page.table(0)] == ["t7", "c7"]
    assert [row["Client"].split()[0] for row in page.table(1)] == ["host7"]
    assert "is called like" in (await admin.get(f"/nodes/{nsqd.name}?q=zzz")).page.words


async def test_a_node_with_more_topics_than_a_page_takes_says_so(world: World) -> None:
    nsqd = await world.nsqd(*(topic(f"t{i:04}") for i in range(510)))
    admin = await world.admin(await world.lookupd(nsqd))
    page = (await admin.get(f"/nodes/{nsqd.name}")).page
    assert len(page.table(0)) == 500
    assert "The first 500 of 510." in page.words
