from __future__ import annotations

from tests.nsqadmin.world import World
from tests.support.fake_cluster import channel, client, topic


async def test_the_map_draws_what_flows_with_links_and_says_it_as_a_list(world: World) -> None:
    nsqd = await world.nsqd(topic("orders", channel("billing", depth=5, clients=[client("worker-1")])))
    admin = await world.admin(await world.lookupd(nsqd), base_path="/nsq")
    page = (await admin.get("/nsq/map")).text
    assert "<title>Map · nsqadmin</title>" in page
    assert page.count('class="band"') == 3
    for path in (f"/nodes/{nsqd.name.replace(':', '%3A')}", "/topics/orders", "/topics/orders/billing"):
        assert page.count(f'href="/nsq{path}"') >= 2, path
    assert 'href="/nsq/topics/orders/billing#clients"' in page
    assert "1 connection" in page


async def test_the_map_of_one_topic_names_the_hosts_of_its_consumers(world: World) -> None:
    billing = channel("billing", clients=[client("worker-1"), client("worker-1"), client("worker-2")])
    nsqd = await world.nsqd(topic("orders", billing), topic("other", channel("c")))
    admin = await world.admin(await world.lookupd(nsqd))
    page = (await admin.get("/map?topic=orders")).text
    assert "worker-1" in page
    assert "worker-2" in page
    assert 'href="/topics/other"' not in page


async def test_the_map_works_without_nsqlookupd(world: World) -> None:
    nsqd = await world.nsqd(topic("orders"))
    admin = await world.admin(nsqd)
    page = (await admin.get("/map")).text
    assert f'data-from="node {nsqd.name}" data-to="topic orders"' in page


async def test_the_map_of_a_topic_that_nobody_knows_is_not_found(world: World) -> None:
    admin = await world.admin(await world.lookupd(await world.nsqd()))
    answer = await admin.get("/map?topic=nope")
    assert answer.status == 404


async def test_the_map_of_an_empty_cluster_says_where_to_begin(world: World) -> None:
    admin = await world.admin(await world.lookupd(await world.nsqd()))
    assert "Nothing to draw yet" in (await admin.get("/map")).text


async def test_a_node_that_does_not_answer_is_on_the_map_and_said_to_be_silent(world: World) -> None:
    nsqd = await world.nsqd(topic("orders"))
    lookupd = await world.lookupd(nsqd)
    await nsqd.stop()
    page = (await (await world.admin(lookupd)).get("/map")).text
    assert "does not answer" in page
    assert "1 daemon could not be asked" in page.replace("\xa0", " ")


async def test_names_of_others_are_text_on_the_map(world: World) -> None:
    nsqd = await world.nsqd(topic("<script>", channel('"><b>', clients=[client("<i>")])))
    admin = await world.admin(await world.lookupd(nsqd))
    for path in ("/map", "/map?topic=%3Cscript%3E"):
        page = (await admin.get(path)).text
        assert "<b>" not in page
        assert "<i>" not in page
        assert "&lt;script&gt;" in page
