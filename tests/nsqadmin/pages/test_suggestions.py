from __future__ import annotations

import pytest

from nsqadmin.pages.suggestions import close
from tests.nsqadmin.world import World
from tests.support.fake_cluster import channel, topic


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("order", ["orders"]), ("ORDERS", ["orders"]), ("clikcs", ["clicks"]), ("zzz", []), ("", [])],
)
def test_names_that_are_alike_are_found(wanted: str, found: list[str]) -> None:
    assert close(wanted, ["orders", "clicks", "emails"]) == found


async def test_what_is_not_there_leads_to_what_may_have_been_meant(world: World) -> None:
    nsqd = await world.nsqd(topic("orders", channel("billing")))
    admin = await world.admin(await world.lookupd(nsqd))
    await admin.get("/topics")
    for path, name, href in (
        ("/topics/order", "orders", "/topics/orders"),
        ("/topics/orders/biling", "orders/billing", "/topics/orders/billing"),
        (f"/nodes/{nsqd.name}0", nsqd.name, f"/nodes/{nsqd.name.replace(':', '%3A')}"),
    ):
        answer = await admin.get(path)
        assert answer.status == 404
        assert answer.page.links[name] == href
        assert "Did you mean" in answer.page.words


async def test_a_tombstoned_producer_is_told_on_the_page_of_the_topic(world: World) -> None:
    stays, hides = await world.nsqd(topic("t")), await world.nsqd(topic("t"))
    lookupd = await world.lookupd(stays, hides)
    lookupd.tombstones.add(("t", hides.name))
    page = (await (await world.admin(lookupd)).get("/topics/t")).page
    assert f"Tombstoned on {hides.name}" in page.words
