"""Publishing by hand: what is taken, where it goes, and what is said of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqadmin.changes.publishing import LARGEST_BODY, MOST_COPIES
from nsqadmin.pages.publish import read_message
from nsqcore.errors import HttpError
from tests.nsqadmin.world import World
from tests.support.fake_cluster import channel, topic


async def test_a_message_goes_to_a_node_that_has_the_topic_as_it_was_typed(world: World) -> None:
    without, holding = await world.nsqd(topic("other")), await world.nsqd(topic("t", channel("c")))
    admin = await world.admin(await world.lookupd(without, holding))
    page = (await admin.get("/publish?topic=t")).page
    assert page.fields["topic"] == "t"
    answer = await admin.confirm("/publish", topic="t", body="first\r\n<b>two</b> é")
    assert answer.status == 200
    assert holding.messages == ["first\n<b>two</b> é".encode()]
    assert without.messages == []
    assert "1 message published to t" in answer.page.words
    assert answer.page.table() == [{"Node": holding.name, "Result": "1 of 1"}]
    assert answer.page.links["c"] == "/topics/t/c"
    assert answer.page.fields["topic"] == "t"
    row = (await admin.get("/audit")).page.table()[0]
    assert (row["Action"], row["Result"][:4]) == ("publish to", "done")


async def test_delay_copies_and_node_can_be_chosen(world: World) -> None:
    first, second = await world.nsqd(topic("t")), await world.nsqd(topic("t"))
    admin = await world.admin(await world.lookupd(first, second))
    await admin.confirm("/publish", topic="t", body="x", node=second.name, delay="1m30s", copies="3")
    assert second.calls == ["/pub?topic=t&defer=90000"] * 3
    assert first.calls == []
    answer = await admin.confirm("/publish", topic="t", body="y", node="*", copies="2")
    assert [row["Result"] for row in answer.page.table()] == ["2 of 2", "2 of 2"]
    assert (first.messages, second.messages) == ([b"y"] * 2, [b"x"] * 3 + [b"y"] * 2)
    assert "4 messages published" in answer.page.words


async def test_a_new_topic_is_made_by_its_first_message(world: World) -> None:
    nsqd = await world.nsqd()
    answer = await (await world.admin(await world.lookupd(nsqd))).confirm("/publish", topic="new", body="x")
    assert nsqd.find("new")
    assert "The topic has no channel yet" in answer.page.words


async def test_what_a_node_refuses_is_said_and_another_s_success_with_it(world: World) -> None:
    good, bad = await world.nsqd(topic("t")), await world.nsqd(topic("t"))
    admin = await world.admin(await world.lookupd(good, bad))
    bad.lies["/pub"] = HttpError(413, "MSG_TOO_BIG")
    answer = await admin.confirm("/publish", topic="t", body="x", node="*")
    assert answer.status == 200
    results = {row["Node"]: row["Result"] for row in answer.page.table()}
    assert results[good.name] == "1 of 1"
    assert results[bad.name].startswith("0 of 1") and "MSG_TOO_BIG" in results[bad.name]  # noqa: PT018
    assert "but not all" in answer.page.words
    answer = await admin.confirm("/publish", topic="t", body="keep me", node=bad.name)
    assert answer.status == 502
    assert "Nothing was published." in answer.page.words
    assert "keep me" in answer.page.words
    assert (await admin.confirm("/publish", topic="t", body="x", node="n:1")).status == 404


@pytest.mark.parametrize(
    ("fields", "about"),
    [
        ({"topic": "a b"}, "A topic name has"),
        ({"topic": ""}, "A topic name has"),
        ({"body": ""}, "nsqd takes no empty message."),
        ({"body": "x" * (LARGEST_BODY + 1)}, "262,144 is the most"),
        ({"delay": "soon"}, "A number with a unit"),
        ({"delay": "-1s"}, "From 0 to 24h"),
        ({"delay": "25h"}, "From 0 to 24h"),
        ({"copies": "0"}, "From 1 to 100."),
        ({"copies": "101"}, "From 1 to 100."),
        ({"copies": "1e9"}, "From 1 to 100."),
        ({"copies": "\u0663"}, "From 1 to 100."),
    ],
)
async def test_what_makes_no_sense_is_explained_and_nothing_is_published(
    world: World, fields: dict[str, str], about: str
) -> None:
    nsqd = await world.nsqd(topic("t"))
    admin = await world.admin(await world.lookupd(nsqd))
    answer = await admin.confirm("/publish", **({"topic": "t", "body": "x"} | fields))
    assert answer.status == 400
    assert about in answer.page.words
    assert nsqd.calls == []


async def test_only_admins_publish_and_only_from_our_own_form(world: World) -> None:
    nsqd = await world.nsqd(topic("t"))
    admin = await world.admin(await world.lookupd(nsqd), admin_users=["ann"])
    ann = {"X-Forwarded-User": "ann"}
    fields = {"topic": "t", "body": "x"}
    assert (await admin.get("/publish")).status == 403
    assert (await admin.post("/publish", data=fields)).status == 403
    assert (await admin.post("/publish", data=fields, headers=ann)).status == 403
    assert (await admin.get("/publish?topic=t&body=x", headers=ann)).status == 200
    form = await admin.get("/publish", headers=ann)
    cross = ann | {"Origin": "https://evil.example"}
    answer = await admin.post("/publish", data=form.page.fields | fields, cookies=form.cookies, headers=cross)
    assert answer.status == 403
    assert nsqd.calls == []


@given(st.dictionaries(st.sampled_from(["topic", "body", "delay", "copies", "node"]), st.text()))
def test_any_form_is_a_message_within_bounds_or_says_what_is_wrong(form: dict[str, str]) -> None:
    message, errors = read_message(form)
    if not errors:
        assert 0 < len(message.body) <= LARGEST_BODY
        assert 1 <= message.copies <= MOST_COPIES
        assert 0 <= message.delay_ms <= 24 * 3600 * 1000
