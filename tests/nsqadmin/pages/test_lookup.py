from __future__ import annotations

from tests.nsqadmin.world import World
from tests.support.fake_cluster import channel, topic


async def test_each_nsqlookupd_is_told_with_what_it_misses(world: World) -> None:
    nsqd, other = await world.nsqd(topic("t")), await world.nsqd()
    full, half, dead = await world.lookupd(nsqd, other), await world.lookupd(nsqd), await world.lookupd()
    await dead.stop()
    page = (await (await world.admin(full, half, dead)).get("/lookup")).page
    one, two, three = page.table(0)
    lacks = "Lacks what another has"
    assert (one["State"], one["Nodes"], one["Topics"], one[lacks]) == ("OK", "2", "1", "")
    assert (two["Nodes"], two[lacks].replace("\u00a0", " ")) == ("1", f"1 node {other.name}")
    assert three["State"].startswith("does not answer")
    assert "connection refused" in page.words


async def test_inactive_topics_are_listed_with_their_channels_and_can_be_deleted(world: World) -> None:
    lookupd = await world.lookupd(await world.nsqd(topic("busy")), registered={"ghost": ["b", "a"]})
    admin = await world.admin(lookupd)
    page = (await admin.get("/lookup")).page
    [row] = page.table(1)
    assert row["Topic"] == "ghost"
    assert row["Channels"].replace("\u00d7", "x") == "a x b x"
    assert page.links["Delete…"] == "/actions/delete?topic=ghost"
    await admin.confirm("/actions/delete?topic=ghost", typed="ghost")
    assert "None: every topic that is known has a nsqd" in (await admin.get("/lookup")).page.words


async def test_two_that_know_as_many_but_others_are_told_apart(world: World) -> None:
    one, two = await world.nsqd(topic("a")), await world.nsqd(topic("b"))
    rows = (
        await (await world.admin(await world.lookupd(one), await world.lookupd(two))).get("/lookup")
    ).page.table(0)
    lacking = [row["Lacks what another has"].replace("\u00a0", " ") for row in rows]
    assert lacking == [f"1 node {two.name} 1 topic b", f"1 node {one.name} 1 topic a"]


async def test_with_no_nsqlookupd_answering_the_inactive_topics_are_not_known(world: World) -> None:
    nsqd = await world.nsqd(topic("busy"))
    lookupd = await world.lookupd(nsqd, registered={"ghost": []})
    admin = await world.admin(lookupd)
    await admin.get("/lookup")
    await lookupd.stop()
    page = (await admin.until("/lookup", "does not answer")).page
    assert "Not known: no nsqlookupd answers." in page.words
    assert "None:" not in page.words


async def test_who_may_not_act_sees_no_way_to_delete(world: World) -> None:
    admin = await world.admin(await world.lookupd(registered={"ghost": ["c"]}), admin_users=["ann"])
    assert "/actions/" not in (await admin.get("/lookup")).text


async def test_without_nsqlookupd_the_page_says_what_one_is_good_for(world: World) -> None:
    admin = await world.admin(await world.nsqd(topic("t", channel("c"))))
    page = (await admin.get("/lookup")).page
    assert "No nsqlookupd is configured" in page.headings
