from __future__ import annotations

from tests.nsqadmin.world import World
from tests.support.fake_cluster import channel, topic


async def test_the_counter_is_the_sum_that_the_api_gives(world: World) -> None:
    one = await world.nsqd(topic("t", channel("a", message_count=1000), channel("b", message_count=200)))
    two = await world.nsqd(topic("t", channel("a", message_count=34)), topic("lonely", message_count=9))
    admin = await world.admin(await world.lookupd(one, two))
    stats = (await admin.get("/api/counter")).json["stats"]
    page = (await admin.get("/counter")).page
    assert sum(part["message_count"] for part in stats.values()) == 1234
    assert ("data-counter", "1234") in page.attributes
    assert page.title == "1,234 messages · nsqadmin"


async def test_an_empty_cluster_counts_to_zero(world: World) -> None:
    admin = await world.admin(await world.lookupd())
    answer = await admin.get("/counter")
    assert answer.status == 200
    assert ("data-counter", "0") in answer.page.attributes
