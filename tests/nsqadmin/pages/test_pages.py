"""The pages that people read."""

from __future__ import annotations

import pytest

from tests.nsqadmin.world import World
from tests.support.fake_cluster import FakeNsqd, channel, client, latency, topic

NOTHING = "\u2013"
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}",
    "a/b?c=d&e#f",
    "javascript:alert(1)",
    "</title></table></main><form action=//evil.example>",
    "\u202ereversed",
]


async def test_topics_shows_every_topic_with_its_figures(world: World) -> None:
    one = await world.nsqd(
        topic(
            "orders", channel("c", depth=4000, backend_depth=3000, clients=[client("w")], in_flight_count=3)
        ),
        topic("idle"),
    )
    two = await world.nsqd(topic("orders", channel("c", depth=5), channel("d"), depth=7, message_count=1234))
    page = (
        await (await world.admin(await world.lookupd(one, two, registered={"ghost": []}))).get("/topics")
    ).page
    assert page.title == "Topics · nsqadmin"
    ghost, idle, orders = page.table()
    assert orders == {
        "Topic": "orders 1 channel without consumers",
        "Published": f"{NOTHING} {NOTHING}",
        "Finished": NOTHING,
        "Topic depth": "7",
        "Channel depth": "waiting, last hour: 4,012 all the time 4,005",
        "Memory + disk": "1,012 + 3,000",
        "In flight": "3",
        "Messages": "1,234",
        "Channels": "2",
        "Clients": "1",
        "Nodes": "2",
    }
    assert idle["Nodes"] == "1"
    assert ghost["Topic"] == "ghost no producer"
    assert page.links["orders"] == "/topics/orders"


async def test_topics_can_be_searched_and_sorted_by_address(world: World) -> None:
    nsqd = await world.nsqd(topic("a.x", depth=1), topic("b.x", depth=3), topic("c.x", depth=2), topic("d.y"))
    admin = await world.admin(await world.lookupd(nsqd))
    page = (await admin.get("/topics?q=.X&sort=depth")).page
    assert [row["Topic"] for row in page.table()] == ["b.x", "c.x", "a.x"]
    assert page.fields["q"] == ".X"
    assert page.links["Topic depth"] == "/topics?q=.X&sort=depth&order=asc"
    assert page.links["Messages"] == "/topics?q=.X&sort=messages"
    assert ("aria-sort", "descending") in page.attributes
    assert "3 topics found" in page.words


async def test_a_search_without_a_find_leads_back(world: World) -> None:
    admin = await world.admin(await world.lookupd(await world.nsqd(topic("t"))))
    page = (await admin.get("/topics?q=zzz")).page
    assert "No topic is called like “zzz”" in page.headings
    assert page.links["Show all 1 topic"] == "/topics"


async def test_more_topics_than_a_page_takes_are_cut_and_it_is_said(world: World) -> None:
    admin = await world.admin(
        await world.lookupd(await world.nsqd(*(topic(f"t{i:04}") for i in range(1005))))
    )
    page = (await admin.get("/topics")).page
    assert len(page.table()) == 1000
    assert "The first 1,000 of 1,005." in page.words


async def test_a_topic_shows_channels_and_nodes_with_their_totals(world: World) -> None:
    c = channel("c", depth=3, requeue_count=4, e2e_processing_latency=latency(10, p99=2e6, p5=1e6))
    nsqds = [
        await world.nsqd(topic("t", c, depth=5, backend_depth=1, message_count=10), hostname="h1"),
        await world.nsqd(topic("t", c, depth=6, paused=True), hostname="h2"),
    ]
    page = (
        await (await world.admin(await world.lookupd(*nsqds, registered={"t": ["later"]}))).get("/topics/t")
    ).page
    assert page.title == "t · nsqadmin"
    first, later = page.table(0)
    assert first["Channel"] == "c no client"
    assert first["Depth"].endswith(" 6")
    assert (first["Requeued"], first["99%"], first["50%"]) == ("8", "2.0 ms", "1.0 ms")
    assert (later["Channel"], later["99%"]) == ("later registered only", NOTHING)
    one, two, total = page.table(1)
    assert (one["Node"], one["Host"], one["Depth"], one["Memory + disk"]) == (
        nsqds[0].name,
        "h1",
        "5",
        "4 + 1",
    )
    assert two["Node"] == f"{nsqds[1].name} paused"
    assert (total["Node"], total["Host"], total["Depth"], total["Messages"]) == (
        "Total",
        "2 nodes",
        "11",
        "10",
    )
    assert "paused on 1 of 2" in page.words
    assert {"Pause", "Unpause"} <= set(page.links)


async def test_a_channel_shows_nodes_with_their_total_and_clients(world: World) -> None:
    w = client(
        "worker.example",
        client_id="w7",
        tls=True,
        snappy=True,
        sample_rate=5,
        ready_count=9,
        user_agent="ua/1",
    )
    nsqds = [
        await world.nsqd(topic("t", channel("c", depth=3, clients=[w])), hostname="h1"),
        await world.nsqd(topic("t", channel("c", depth=4, deferred_count=2)), hostname="h2"),
    ]
    page = (await (await world.admin(await world.lookupd(*nsqds))).get("/topics/t/c")).page
    assert page.title == "t/c · nsqadmin"
    *_, total = page.table(0)
    assert (total["Node"], total["Depth"], total["Deferred"], total["Clients"]) == ("Total", "7", "2", "1")
    [row] = page.table(1)
    assert (row["Client"], row["User agent"], row["Node"]) == (
        "worker.example w7 10.1.0.9:51000",
        "ua/1",
        nsqds[0].name,
    )
    assert (row["Attributes"], row["Ready"]) == ("TLS Snappy samples 5%", "9")
    assert row["Connected"].startswith("1 min")
    assert page.links["t"] == "/topics/t"


async def test_nodes_shows_who_answers_and_who_is_known_to_whom(world: World) -> None:
    old = await world.nsqd(topic("t", depth=3), hostname="a", version="1.2.0", topology_zone="z1")
    sick, dead = await world.nsqd(hostname="b"), await world.nsqd(hostname="c")
    sick.health = "NOK - disk full"
    one, two = await world.lookupd(old, sick, dead), await world.lookupd(sick, dead)
    one.tombstones.add(("t", old.name))
    await dead.stop()
    page = (await (await world.admin(one, two)).get("/nodes")).page
    assert page.title == "Nodes · nsqadmin"
    a, b, c = page.table()
    assert (a["Node"], a["Version"], a["Region / zone"], a["Waiting"]) == (old.name, "1.2.0 older", "z1", "3")
    assert a["State"] == "OK up 1 h"
    assert a["nsqlookupd connections"].startswith("1 of 2 half-registered")
    assert a["Topics"] == "1 1 tombstoned"
    assert b["State"] == "NOK - disk full"
    assert b["nsqlookupd connections"].startswith("2 of 2 127.")
    assert c["State"].startswith("does not answer")
    assert c["Waiting"] == NOTHING
    assert f"nsqd {dead.address}" in page.words
    assert "connection refused" in page.words


async def test_a_node_is_not_called_half_registered_because_a_nsqlookupd_is_dead(world: World) -> None:
    nsqd = await world.nsqd()
    live, dead = await world.lookupd(nsqd), await world.lookupd(nsqd)
    await dead.stop()
    [row] = (await (await world.admin(live, dead)).get("/nodes")).page.table()
    assert "half-registered" not in row["nsqlookupd connections"]


async def test_a_node_shows_what_it_holds_and_who_reads_it(world: World) -> None:
    nsqd = await world.nsqd(
        topic("t", channel("c", depth=2, clients=[client("w")]), depth=1), hostname="h1", topology_region="eu"
    )
    lookupd = await world.lookupd(nsqd)
    page = (await (await world.admin(lookupd)).get(f"/nodes/{nsqd.name}")).page
    assert page.title == f"{nsqd.name} · nsqadmin"
    first, second = page.table(0)
    assert (first["Topic, channel"], first["Depth"]) == ("t", "1")
    assert (second["Topic, channel"], second["Depth"], second["Clients"]) == ("c", "2", "1")
    [reader] = page.table(1)
    assert (reader["Client"], reader["Reads"]) == ("w 10.1.0.9:51000", "t/c")
    assert page.links["t/c"] == "/topics/t/c"
    for fact in ("h1", "48.0 MiB", f"HTTP {nsqd.port}", "eu", "1 of 1"):
        assert fact in page.words


@pytest.mark.parametrize("path", ["/", "/topics/t", "/topics/t/c", "/nodes"])
async def test_a_dead_node_is_a_warning_in_words(world: World, path: str) -> None:
    live, dead = [await world.nsqd(topic("t", channel("c"))) for _ in range(2)]
    admin = await world.admin(await world.lookupd(live, dead))
    await dead.stop()
    answer = await admin.get(path)
    assert answer.status == 200
    assert (
        f"1 daemon could not be asked. {'What' if path == '/nodes' else 'The figures'}" in answer.page.words
    )
    assert f"nsqd {dead.address} connection refused" in answer.page.words


async def test_a_topic_of_a_dead_node_is_not_said_to_have_no_producer(world: World) -> None:
    live, dead = await world.nsqd(), await world.nsqd(topic("t"))
    admin = await world.admin(await world.lookupd(live, dead))
    await dead.stop()
    [row] = (await admin.until("/topics", "node does not answer")).page.table()
    assert row["Topic"] == "t node does not answer"


async def test_when_nobody_answers_the_page_says_who_and_why(world: World) -> None:
    lookupd = await world.lookupd()
    admin = await world.admin(lookupd)
    await lookupd.stop()
    answer = await admin.get("/topics")
    assert answer.status == 502
    assert answer.page.headings == ["No nsqlookupd answers"]
    assert f"nsqlookupd {lookupd.address} connection refused" in answer.page.words
    assert ("data-live", "") in answer.page.attributes


@pytest.mark.parametrize(
    ("path", "heading", "back"),
    [
        ("/topics/nope", "There is no such topic", "/topics"),
        ("/topics/nope/c", "There is no such topic", "/topics"),
        ("/topics/t/nope", "There is no such channel", "/topics/t"),
        ("/nodes/n:1", "There is no such node", "/nodes"),
        ("/nothing/here", "There is no such page", "/topics"),
        ("/actions/explode?topic=t", "There is no such page", "/topics"),
        ("/actions/delete?topic=nope", "There is no such topic", "/topics"),
    ],
)
async def test_what_is_not_there_is_a_404_with_a_way_back(
    world: World, path: str, heading: str, back: str
) -> None:
    answer = await (await world.admin(await world.lookupd(await world.nsqd(topic("t"))))).get(path)
    assert answer.status == 404
    assert answer.page.headings == [heading]
    assert back in answer.page.links.values()


async def test_a_newcomer_is_told_what_to_do_next(world: World) -> None:
    nsqd = await world.nsqd()
    lookupd = await world.lookupd()
    admin = await world.admin(lookupd)
    assert "nsqd --lookupd-tcp-address=" in (await admin.get("/topics")).page.words
    assert "nsqd --lookupd-tcp-address=" in (await admin.get("/nodes")).page.words
    lookupd.nodes.append(nsqd)
    await admin.until("/topics", f"curl -d 'hello world' 'http://{nsqd.name}/pub?topic=test'")
    assert f"'http://{nsqd.name}/pub?topic=test'" in (await admin.get(f"/nodes/{nsqd.name}")).page.words
    nsqd.topics.append(topic("t"))
    assert (
        f"'http://{nsqd.name}/channel/create?topic=t&channel=test'"
        in (await admin.get("/topics/t")).page.words
    )
    nsqd.topics[0]["channels"].append(channel("c"))
    words = (await admin.get("/topics/t/c")).page.words
    assert f'Lookup("http://{lookupd.address}")' in words
    assert 'Consumer("t", "c", target)' in words
    lookupd.registered = {"ghost": ["c"]}
    assert "pub?topic=ghost" in (await admin.get("/topics/ghost")).page.words


async def test_without_nsqlookupds_the_pages_work_the_same(world: World) -> None:
    nsqd = await world.nsqd(topic("t", channel("c")))
    admin = await world.admin(nsqd)
    for path in ("/", "/topics/t", "/topics/t/c", "/nodes", f"/nodes/{nsqd.name}"):
        assert (await admin.get(path)).status == 200, path
    assert "nsqlookupd connections" not in (await admin.get("/nodes")).page.words
    assert "Tombstone" not in (await admin.get("/topics/t")).page.links


async def _hostile(world: World, name: str) -> FakeNsqd:
    evil = client(name, user_agent=name, client_id=name, remote_address=name, authed=True, auth_identity=name)
    evil |= {"auth_identity_url": name, "tls": True, "tls_version": name, "topology_zone": name}
    nsqd = await world.nsqd(
        topic(name, channel(name, clients=[evil])), hostname=name, version=name, topology_region=name
    )
    nsqd.health = name
    return nsqd


@pytest.mark.parametrize("name", HOSTILE)
async def test_whatever_a_hostile_node_says_is_only_text(world: World, name: str) -> None:
    nsqd = await _hostile(world, name)
    admin = await world.admin(await world.lookupd(nsqd))
    start = await admin.get("/topics")
    home = start.page
    [topic_href] = {href for href in home.links.values() if href.startswith("/topics/")}
    inside = await admin.get(topic_href)
    [channel_href] = {href for href in inside.page.links.values() if href.startswith(topic_href + "/")}
    actions = [href for href in inside.page.links.values() if href.startswith("/actions/")]
    assert len(actions) == 5
    answers = [
        start,
        inside,
        await admin.get(channel_href),
        await admin.get("/nodes"),
        await admin.get(f"/nodes/{nsqd.name}"),
    ]
    answers += [await admin.get(href) for href in actions]
    for answer in answers:
        assert answer.status == 200
        page = answer.page
        assert page.tags.count("script") == 2  # ours, both
        assert "img" not in page.tags
        assert not [n for n, _ in page.attributes if n.startswith("on") or n == "style"]
        for attribute, value in page.attributes:
            if attribute in ("href", "src", "action"):
                assert value.startswith(("/", "#", "?period=")), value
                assert not value.startswith("//"), value
    assert name in answers[2].page.words
