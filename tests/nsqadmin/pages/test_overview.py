from __future__ import annotations

from nsqcore.durations import Duration
from tests.nsqadmin.world import World
from tests.support.fake_cluster import channel, topic

QUICK = {"sample_interval": Duration.parse("100ms")}


async def test_the_first_page_tells_totals_what_is_wrong_and_the_last_hour(world: World) -> None:
    nsqd = await world.nsqd(topic("orders", channel("billing", depth=1234), message_count=5000))
    admin = await world.admin(await world.lookupd(nsqd), **QUICK)
    page = (await admin.get("/")).text
    assert "<title>Overview · nsqadmin</title>" in page
    assert "1,234" in page
    assert "has no consumer; 1,234 messages waiting" in page
    assert 'href="/topics/orders/billing"' in page
    assert page.count('<figure class="chart"') == 4


async def test_a_calm_cluster_is_said_to_be_calm(world: World) -> None:
    nsqd = await world.nsqd(topic("t", channel("c")))
    admin = await world.admin(await world.lookupd(nsqd), **QUICK)
    assert "Nothing. Every daemon answers" in (await admin.get("/")).text


async def test_an_empty_cluster_says_what_to_do_next(world: World) -> None:
    empty = await world.admin(await world.lookupd(), **QUICK)
    assert "nsqd --lookupd-tcp-address" in (await empty.get("/")).text
    nsqd = await world.nsqd()
    without_topics = await world.admin(await world.lookupd(nsqd), **QUICK)
    page = (await without_topics.get("/")).text
    assert f"http://{nsqd.name}/pub?topic=test" in page


async def test_names_of_others_are_text_on_the_first_page(world: World) -> None:
    nsqd = await world.nsqd(topic("<script>", channel("<b>", depth=9), message_count=9))
    admin = await world.admin(await world.lookupd(nsqd), **QUICK)
    page = (await admin.get("/")).text
    assert "<b>" not in page
    assert "&lt;script&gt;/&lt;b&gt;" in page


async def test_when_nobody_answers_the_first_page_says_who_did_not(world: World) -> None:
    lookupd = await world.lookupd()
    await lookupd.stop()
    answer = await (await world.admin(lookupd, **QUICK)).get("/")
    assert answer.status == 502
    assert lookupd.address in answer.text
