from __future__ import annotations

import pytest

from nsqadmin.history.snapshot import NO_RATES, Rates
from nsqadmin.pages.channel import outlook
from tests.nsqadmin.world import World
from tests.support.fake_cluster import channel, topic


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
