"""Asking, doing and telling what became of it, with a browser that runs no scripts."""

from __future__ import annotations

import logging
import re

import pytest

from nsqcore.durations import Duration
from nsqcore.errors import HttpError
from tests.nsqadmin.world import World
from tests.support.fake_cluster import channel, client, topic


async def test_a_question_says_in_numbers_what_will_be_lost(world: World) -> None:
    c = channel(
        "c", depth=12345, backend_depth=10000, in_flight_count=7, deferred_count=2, clients=[client("w")]
    )
    nsqd = await world.nsqd(topic("t", c))
    admin = await world.admin(await world.lookupd(nsqd))
    answer = await admin.get("/actions/delete?topic=t&channel=c")
    page = answer.page
    assert page.title == "Delete t/c? · nsqadmin"
    for fact in (
        "12,345 messages waiting (2,345 in memory, 10,000 on disk)",
        "7 in flight to clients",
        "2 deferred for later",
        "1 client is disconnected.",
        f"On {nsqd.name}",
    ):
        assert fact in page.words
    assert page.links["Cancel"] == "/topics/t/c"
    assert nsqd.calls == []
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize(
    ("path", "call"),
    [
        ("/actions/pause?topic=t", "/topic/pause?topic=t"),
        ("/actions/unpause?topic=t", "/topic/unpause?topic=t"),
        ("/actions/empty?topic=t", "/topic/empty?topic=t"),
        ("/actions/delete?topic=t", "/topic/delete?topic=t"),
        ("/actions/pause?topic=t&channel=c", "/channel/pause?topic=t&channel=c"),
        ("/actions/unpause?topic=t&channel=c", "/channel/unpause?topic=t&channel=c"),
        ("/actions/empty?topic=t&channel=c", "/channel/empty?topic=t&channel=c"),
        ("/actions/delete?topic=t&channel=c", "/channel/delete?topic=t&channel=c"),
    ],
)
async def test_a_yes_is_carried_out(world: World, path: str, call: str) -> None:
    nsqd = await world.nsqd(topic("t", channel("c")))
    admin = await world.admin(await world.lookupd(nsqd))
    answer = await admin.confirm(path)
    assert answer.status == 200
    assert answer.page.title.startswith("Done: ")
    assert nsqd.calls == [call]
    assert f"nsqd {nsqd.address}" in [row["Daemon"] for row in answer.page.table()]


async def test_a_tombstone_is_asked_about_and_carried_out(world: World) -> None:
    nsqd, other = await world.nsqd(topic("t", depth=3)), await world.nsqd(topic("t", depth=100))
    lookupd = await world.lookupd(nsqd, other)
    admin = await world.admin(lookupd)
    href = f"/actions/tombstone?topic=t&node={nsqd.name.replace(':', '%3A')}"
    offered = [value for name, value in (await admin.get("/topics/t")).page.attributes if name == "href"]
    assert href in offered
    question = (await admin.get(href)).page
    assert "3 messages waiting" in question.words
    assert "the topic is deleted on this node" in question.words
    answer = await admin.confirm(href)
    assert [row["Result"] for row in answer.page.table()] == ["topic hidden from consumers", "topic deleted"]
    assert (nsqd.topics, len(other.topics), lookupd.tombstones) == ([], 1, {("t", nsqd.name)})


async def test_without_nsqlookupds_a_topic_is_just_deleted_on_a_node(world: World) -> None:
    nsqd = await world.nsqd(topic("t"))
    admin = await world.admin(nsqd)
    path = f"/actions/tombstone?topic=t&node={nsqd.name}"
    assert (await admin.get(path)).page.title == f"Delete t on {nsqd.name}? · nsqadmin"
    await admin.confirm(path)
    assert nsqd.topics == []


async def test_creating_takes_a_topic_and_a_channel(world: World) -> None:
    lookupd = await world.lookupd()
    admin = await world.admin(lookupd)
    answer = await admin.confirm("/actions/create", topic="t", channel="c")
    assert answer.page.title == "Done: create t/c · nsqadmin"
    assert lookupd.known() == {"t": ["c"]}


@pytest.mark.parametrize(
    ("fields", "about"),
    [
        ({"topic": "a b"}, "A topic name has"),
        ({"topic": ""}, "A topic name has"),
        ({"topic": "t", "channel": "x" * 65}, "A channel name has"),
        ({"topic": "<script>", "channel": "c"}, "A topic name has"),
    ],
)
async def test_a_bad_name_is_explained_beside_what_was_typed(
    world: World, fields: dict[str, str], about: str
) -> None:
    lookupd = await world.lookupd()
    answer = await (await world.admin(lookupd)).confirm("/actions/create", **fields)
    assert answer.status == 400
    assert about in answer.page.words
    assert answer.page.fields | fields == answer.page.fields
    assert answer.page.fields["token"]
    assert lookupd.calls == []


async def test_partial_failure_is_shown_node_by_node(world: World) -> None:
    good, bad, without = (
        await world.nsqd(topic("t", channel("c"))),
        await world.nsqd(topic("t", channel("c"))),
        await world.nsqd(topic("t")),
    )
    admin = await world.admin(await world.lookupd(good, bad, without))
    bad.lies["/channel/pause"] = HttpError(500, "INTERNAL_ERROR")
    answer = await admin.confirm("/actions/pause?topic=t&channel=c")
    assert answer.status == 200
    assert answer.page.title == "Partly done: pause t/c · nsqadmin"
    results = {row["Daemon"]: row["Result"] for row in answer.page.table()}
    assert results == {
        f"nsqd {good.address}": "channel paused",
        f"nsqd {bad.address}": "failed got response 500 Internal Server Error INTERNAL_ERROR",
        f"nsqd {without.address}": "does not have it",
    }


async def test_total_failure_does_not_look_like_success(world: World) -> None:
    nsqd = await world.nsqd(topic("t"))
    admin = await world.admin(await world.lookupd(nsqd))
    nsqd.lies["/topic/pause"] = HttpError(500, "INTERNAL_ERROR")
    answer = await admin.confirm("/actions/pause?topic=t")
    assert answer.status == 502
    assert answer.page.title == "Not done: pause t · nsqadmin"


async def test_the_way_back_leads_to_what_is_still_there(world: World) -> None:
    nsqd = await world.nsqd(topic("t", channel("c")))
    admin = await world.admin(await world.lookupd(nsqd))
    assert (await admin.confirm("/actions/pause?topic=t&channel=c")).page.links["Back"] == "/topics/t/c"
    assert (await admin.confirm("/actions/delete?topic=t&channel=c")).page.links["Back"] == "/topics/t"
    assert (await admin.confirm("/actions/delete?topic=t")).page.links["Back to all topics"] == "/topics"


@pytest.mark.parametrize(
    "path", ["/actions/pause", "/actions/tombstone?topic=t", "/actions/delete?channel=c"]
)
async def test_an_address_that_misses_its_object_is_refused(world: World, path: str) -> None:
    answer = await (await world.admin(await world.lookupd(await world.nsqd(topic("t"))))).get(path)
    assert answer.status == 400
    assert answer.page.headings == ["Something is missing in the address"]


@pytest.mark.parametrize("body", [b"\xff", b"&".join([b"a=b"] * 100)])
async def test_a_body_that_is_no_form_of_ours_is_refused(world: World, body: bytes) -> None:
    answer = await (await world.admin(await world.lookupd())).post("/actions/create", data=body)
    assert answer.status == 400


async def test_the_log_says_who_did_what_and_how_it_went(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    nsqd = await world.nsqd(topic("t"))
    admin = await world.admin(await world.lookupd(nsqd), admin_users=["ann"])
    with caplog.at_level(logging.INFO, logger="nsqadmin.changes.audit"):
        await admin.post("/api/topics/t", json={"action": "pause"}, headers={"X-Forwarded-User": "ann"})
    lines = [re.sub(r":\d+\)", ":PORT)", message) for message in caplog.messages]
    assert lines == ["ADMIN: pause topic t by ann (127.0.0.1:PORT): done by 1 of 1"]


@pytest.mark.parametrize("verb", ["pause", "unpause", "empty", "delete"])
@pytest.mark.parametrize(("kind", "names"), [("topic", "topic=t"), ("channel", "topic=t&channel=c")])
async def test_a_change_on_one_node_is_made_there_alone(
    world: World, verb: str, kind: str, names: str
) -> None:
    here = await world.nsqd(topic("t", channel("c", depth=3), depth=3))
    there = await world.nsqd(topic("t", channel("c", depth=40), depth=40))
    lookupd = await world.lookupd(here, there)
    admin = await world.admin(lookupd)
    path = f"/actions/{verb}?{names}&node={here.name}"
    question = (await admin.get(path)).page
    assert f"on {here.name}" in question.title
    assert "Other nodes are left as they are." in question.words
    assert "40" not in question.words.split()
    answer = await admin.confirm(path)
    assert [row["Daemon"] for row in answer.page.table()] == [f"nsqd {here.address}"]
    assert (here.calls, there.calls, lookupd.calls) == ([f"/{kind}/{verb}?{names}"], [], [])


async def test_a_change_on_a_node_that_is_not_there_is_refused(world: World) -> None:
    nsqd = await world.nsqd(topic("t"))
    admin = await world.admin(await world.lookupd(nsqd))
    assert (await admin.get("/actions/pause?topic=t&node=n:1")).page.headings == ["There is no such node"]
    question = await admin.get(f"/actions/pause?topic=t&node={nsqd.name}")
    answer = await admin.post(
        "/actions/pause", data=question.page.fields | {"node": "n:1"}, cookies=question.cookies
    )
    assert (answer.status, nsqd.calls) == (404, [])
    path = f"/actions/pause?topic=t&channel=nope&node={nsqd.name}"
    assert (await admin.get(path)).page.headings == ["There is no such channel"]


@pytest.mark.parametrize(
    ("path", "name", "wrong"),
    [
        ("/actions/empty?topic=t", "t", "T"),
        ("/actions/delete?topic=t", "t", ""),
        ("/actions/delete?topic=t&channel=c", "c", "t"),
        ("/actions/empty?topic=t&channel=c", "c", "t/c"),
        ("/actions/tombstone?topic=t&node={node}", "t", "yes"),
    ],
)
async def test_what_loses_messages_is_done_only_when_its_name_was_typed(
    world: World, path: str, name: str, wrong: str
) -> None:
    nsqd = await world.nsqd(topic("t", channel("c", depth=7), depth=7))
    lookupd = await world.lookupd(nsqd)
    admin = await world.admin(lookupd)
    path = path.format(node=nsqd.name)
    assert f"To confirm, type {name}" in (await admin.get(path)).page.words
    answer = await admin.confirm(path, typed=wrong)
    assert answer.status == 400
    assert "That is not the name. Nothing was changed." in answer.page.words
    assert any(word.startswith("7") for word in answer.page.words.split())
    assert (nsqd.calls, lookupd.calls) == ([], [])
    assert (await admin.confirm(path, typed=f" {name} ")).status == 200
    assert nsqd.calls


async def test_what_can_be_undone_needs_no_name(world: World) -> None:
    admin = await world.admin(await world.lookupd(await world.nsqd(topic("t", channel("c")))))
    for verb in ("pause", "unpause"):
        assert "typed" not in (await admin.get(f"/actions/{verb}?topic=t&channel=c")).page.fields


async def test_reading_changes_nothing(world: World) -> None:
    nsqd = await world.nsqd(topic("t", channel("c")))
    lookupd = await world.lookupd(nsqd)
    admin = await world.admin(lookupd)
    for verb in ("create", "pause", "unpause", "empty", "delete", "tombstone"):
        await admin.get(f"/actions/{verb}?topic=t&channel=c&node={nsqd.name}&typed=t")
        await admin.ask("HEAD", f"/actions/{verb}?topic=t")
    assert (nsqd.calls, lookupd.calls) == ([], [])


async def test_the_page_after_a_change_shows_it(world: World) -> None:
    admin = await world.admin(
        await world.lookupd(await world.nsqd(topic("t"))), sample_interval=Duration.parse("1h")
    )
    assert "made" not in (await admin.get("/topics")).page.links
    await admin.confirm("/actions/create", topic="made")
    assert "made" in (await admin.get("/topics")).page.links
