"""Daemons and their clients name things as they like; no page takes a name for markup."""

from __future__ import annotations

import pytest

from tests.nsqadmin.world import Visitor, World
from tests.support.fake_cluster import Json, channel, client, topic

EVIL = "\"'><b onmouseover=x>&lt;{{7*7}}</script></title></svg>]]>"
PATHS = (
    "/",
    "/topics",
    "/topics/t",
    "/topics/t/c",
    "/nodes",
    "/lookup",
    "/map",
    "/map?topic=t",
    "/counter",
    "/publish",
)


def hostile() -> Json:
    """A topic whose client puts markup into every text that it may choose."""
    harmless = client("h")
    words = {key: EVIL for key, value in harmless.items() if isinstance(value, str)}
    words["auth_identity"] = words["auth_identity_url"] = EVIL
    return topic(
        "t", channel("c", depth=3, clients=[harmless | words]), channel(f"c{EVIL}", depth=9), depth=5
    )


@pytest.fixture
async def admin(world: World) -> Visitor:
    """nsqadmin before a cluster of such daemons."""
    nsqd = await world.nsqd(hostile(), topic(f"t{EVIL}"), hostname=EVIL, version=EVIL)
    nsqd.info |= {"topology_zone": EVIL, "topology_region": EVIL, "remote_address": EVIL}
    ill = await world.nsqd(hostname=EVIL)
    ill.health = EVIL
    return await world.admin(await world.lookupd(nsqd, ill, registered={f"ghost{EVIL}": [EVIL]}))


@pytest.mark.parametrize("path", PATHS)
async def test_no_text_of_a_daemon_becomes_markup(admin: Visitor, path: str) -> None:
    answer = await admin.get(path)
    assert answer.status == 200
    assert "<b " not in answer.text
    assert "49" not in answer.page.title
    assert "onmouseover" not in dict(answer.page.attributes)
    assert answer.text.count("</title>") == 1 + answer.text.count("<title>", answer.text.index("<body"))


async def test_no_text_of_a_node_becomes_markup_on_its_page(admin: Visitor) -> None:
    for row in (await admin.get("/nodes")).page.table():
        answer = await admin.get(f"/nodes/{row['Node']}")
        assert answer.status == 200
        assert "<b " not in answer.text


async def test_no_text_of_an_address_becomes_markup(admin: Visitor) -> None:
    for path in (
        "/topics/{}",
        "/topics/t/{}",
        "/nodes/{}",
        "/topics?q={}",
        "/map?topic={}",
        "/actions/delete?topic={}",
    ):
        answer = await admin.get(path.format("%22%27%3E%3Cb%20onmouseover=x%3E"))
        assert answer.status < 500
        assert "<b " not in answer.text
        assert "onmouseover" not in dict(answer.page.attributes)
