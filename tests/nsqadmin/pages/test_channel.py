from __future__ import annotations

import pytest

from nsqadmin.history.snapshot import NO_RATES, Rates
from nsqadmin.pages.channel import outlook
from tests.nsqadmin.world import World
from tests.support.fake_cluster import channel, client, topic


@pytest.mark.parametrize(
    ("depth", "rates", "text"),
    [
        (1200, Rates(10, 20), "empty in about 2 min at this rate"),
        (1200, Rates(20, 10), "grows by 10/s"),
        (1200, Rates(100, 101), "stays as it is"),
        (10**9, Rates(1, 2), "stays as it is"),
        (0, Rates(10, 20), ""),
        (5, NO_RATES, ""),
    ],
)
def test_a_backlog_is_said_to_shrink_or_grow(depth: int, rates: Rates, text: str) -> None:
    assert outlook(depth, rates) == text


@pytest.mark.parametrize("path", ["/topics/t", "/topics/t/c"])
async def test_the_charts_go_back_as_far_as_the_address_says(world: World, path: str) -> None:
    admin = await world.admin(await world.lookupd(await world.nsqd(topic("t", channel("c")))))
    usual, long, nonsense = [
        (await admin.get(path + query)).text for query in ("", "?period=12h", "?period=1y")
    ]
    assert 'href="?period=1h" aria-current="true"' in usual
    assert 'href="?period=12h" aria-current="true"' in long
    assert 'href="?period=1h" aria-current="true"' in nonsense
    assert usual.count('<figure class="chart"') == 4


async def test_each_node_has_its_own_changes_for_those_who_may_make_them(world: World) -> None:
    nsqd = await world.nsqd(topic("t", channel("c")))
    lookupd = await world.lookupd(nsqd)
    everybody = await world.admin(lookupd)
    nobody = await world.admin(lookupd, admin_users=["ann"])
    node = nsqd.name.replace(":", "%3A")
    for path, query in (("/topics/t", "topic=t"), ("/topics/t/c", "topic=t&amp;channel=c")):
        page = (await everybody.get(path)).text
        for verb in ("pause", "empty", "delete"):
            assert f'href="/actions/{verb}?{query}&amp;node={node}"' in page
        assert "/actions/" not in (await nobody.get(path)).text


async def test_clients_can_be_searched_and_sorted_and_the_period_stays(world: World) -> None:
    clients = [client(f"w{i}", finish_count=i, remote_address=f"10.0.0.{i}:5") for i in range(12)]
    admin = await world.admin(
        await world.lookupd(await world.nsqd(topic("t", channel("c", clients=clients))))
    )
    page = (await admin.get("/topics/t/c?q=W1&sort=finished&period=6h")).page
    assert [row["Client"] for row in page.table(1)] == ["w11 10.0.0.11:5", "w10 10.0.0.10:5", "w1 10.0.0.1:5"]
    assert "3 clients found" in page.words
    assert page.links["Requeued"] == "/topics/t/c?period=6h&q=W1&sort=requeued"
    assert page.links["12 h"] == "?period=12h&q=W1&sort=finished"
    assert "No client is called like" in (await admin.get("/topics/t/c?q=zzz")).page.words


async def test_clients_that_take_none_and_those_that_are_full_are_marked(world: World) -> None:
    clients = [
        client("a", ready_count=0),
        client("b", ready_count=5, in_flight_count=5),
        client("c", ready_count=5, in_flight_count=4),
    ]
    admin = await world.admin(
        await world.lookupd(await world.nsqd(topic("t", channel("c", clients=clients))))
    )
    rows = (await admin.get("/topics/t/c")).page.table(1)
    assert [row["Ready"] for row in rows] == ["takes none 0", "full 5", "5"]


async def test_more_clients_than_a_page_takes_are_cut_and_it_is_said(world: World) -> None:
    clients = [client(f"w{i}", remote_address=f"10.0.0.1:{i}") for i in range(510)]
    admin = await world.admin(
        await world.lookupd(await world.nsqd(topic("t", channel("c", clients=clients))))
    )
    page = (await admin.get("/topics/t/c")).page
    assert len(page.table(1)) == 500
    assert "The first 500 of 510." in page.words
