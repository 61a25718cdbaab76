"""What is told of changes, to whom, and that nothing waits for it."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from nsqadmin.changes.actions import Change, Outcome, Step, Verb
from nsqadmin.changes.notify import Notifier, Origin, notices
from nsqadmin.cluster.model import Problem
from tests.nsqadmin.world import World
from tests.support.fake_cluster import channel, topic
from tests.support.sink import Sink
from tests.support.tls import Authority

ANN = Origin("ann", "10.0.0.1:5", "curl/8", "http://h/api/topics/t")
FAILED = Problem("nsqd", "n:1", "connection refused")


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with Sink() as running:
        yield running


def outcome(change: Change, *did: str, problem: Problem | None = None) -> Outcome:
    return Outcome(change, [Step("nsqd", "n:1", what, problem) for what in did])


def paused(name: str) -> Outcome:
    return outcome(Change(Verb.PAUSE, name), "topic paused")


def notifier(sink: Sink, **settings: Any) -> Notifier:
    return Notifier(
        sink.url, **{"connect_timeout": 2, "request_timeout": 2, "pauses": (0.0, 0.0), **settings}
    )


@pytest.mark.parametrize(
    ("change", "did", "actions"),
    [
        (Change(Verb.CREATE, "t"), ["topic created"], ["create_topic"]),
        (Change(Verb.CREATE, "t", "c"), ["topic created", "channel created"], ["create_topic", "create_channel"]),
        (Change(Verb.CREATE, "t", "c"), ["channel created"], ["create_channel"]),
        (Change(Verb.DELETE, "t"), ["topic deleted"], ["delete_topic"]),
        (Change(Verb.DELETE, "t", "c"), ["channel deleted"], ["delete_channel"]),
        (Change(Verb.PAUSE, "t"), ["topic paused"], ["pause_topic"]),
        (Change(Verb.PAUSE, "t", "c"), ["channel paused"], ["pause_channel"]),
        (Change(Verb.UNPAUSE, "t"), ["topic unpaused"], ["unpause_topic"]),
        (Change(Verb.UNPAUSE, "t", "c"), ["channel unpaused"], ["unpause_channel"]),
        (Change(Verb.EMPTY, "t"), ["topic emptied"], ["empty_topic"]),
        (Change(Verb.EMPTY, "t", "c"), ["channel emptied"], ["empty_channel"]),
        (Change(Verb.TOMBSTONE, "t", node="h:1"), ["topic hidden from consumers"], ["tombstone_topic_producer"]),
    ],
)  # fmt: skip
def test_actions_have_the_originals_names(change: Change, did: list[str], actions: list[str]) -> None:
    told = notices(outcome(change, *did), ANN, 1.9, "here")
    assert [notice["action"] for notice in told] == actions


def test_a_notice_has_the_originals_keys_in_its_order() -> None:
    (told,) = notices(outcome(Change(Verb.DELETE, "t", "c"), "channel deleted"), ANN, 1795329884.9, "here")
    assert list(told.items()) == [
        ("action", "delete_channel"),
        ("topic", "t"),
        ("channel", "c"),
        ("timestamp", 1795329884),
        ("user", "ann"),
        ("remote_ip", "10.0.0.1:5"),
        ("user_agent", "curl/8"),
        ("url", "http://h/api/topics/t"),
        ("via", "here"),
    ]
    nobody = Origin("", "@", "", "http://h/")
    (told,) = notices(outcome(Change(Verb.TOMBSTONE, "t", node="n:1"), "topic deleted"), nobody, 1, "here")
    assert "user" not in told
    assert "channel" not in told
    assert told["node"] == "n:1"


@pytest.mark.parametrize(
    "change", [Change(Verb.CREATE, "t", "c"), Change(Verb.PAUSE, "t"), Change(Verb.DELETE, "t")]
)
def test_what_was_done_nowhere_is_not_told(change: Change) -> None:
    assert notices(outcome(change, "topic created", "topic paused", problem=FAILED), ANN, 1, "here") == []
    assert notices(outcome(change), ANN, 1, "here") == []


async def test_notifications_arrive_in_the_order_of_the_changes(sink: Sink) -> None:
    telling = notifier(sink)
    for i in range(50):
        telling.tell(paused(f"t{i}"), ANN)
    await sink.wait(50)
    await telling.close()
    assert [body["topic"] for body in sink.bodies] == [f"t{i}" for i in range(50)]
    assert sink.requests[0].headers["Content-Type"] == "application/json"


async def test_a_failure_is_tried_again_and_the_order_kept(
    sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    sink.statuses = [500, 503, 200, 429, 204, 202]
    telling = notifier(sink)
    for name in ("a", "b", "c"):
        telling.tell(paused(name), ANN)
    await sink.wait(6)
    await telling.close()
    assert [body["topic"] for body in sink.bodies] == ["a", "a", "a", "b", "b", "c"]
    assert (
        "NOTIFY: pause_topic of a is tried again in 0 s: got response 500 Internal Server Error"
        in caplog.messages
    )
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize(("statuses", "tries"), [([500, 500, 500], 3), ([404], 1), ([301], 1)])
async def test_what_can_not_be_delivered_is_given_up_and_said(
    sink: Sink, statuses: list[int], tries: int, caplog: pytest.LogCaptureFixture
) -> None:
    sink.statuses = list(statuses)
    telling = notifier(sink)
    telling.tell(paused("a"), ANN)
    telling.tell(paused("b"), ANN)
    await sink.wait(tries + 1)
    await telling.close()
    assert [body["topic"] for body in sink.bodies] == ["a"] * tries + ["b"]
    (lost,) = [text for text in caplog.messages if "is lost" in text]
    assert lost.startswith(
        f"NOTIFY: pause_topic of a is lost after {tries} tries: got response {statuses[-1]}"
    )


async def test_an_endpoint_that_is_away_crashes_nothing_and_its_secrets_are_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        url = f"http://bob:secret@127.0.0.1:{taken.getsockname()[1]}/hook-secret"
        telling = Notifier(url, connect_timeout=2, request_timeout=2, pauses=())
        telling.tell(paused("a"), ANN)
        await telling.close()
    assert caplog.messages == ["NOTIFY: pause_topic of a is lost after 1 tries: connection refused"]


async def test_more_than_may_wait_is_lost_and_said(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    sink.hanging = True
    telling = notifier(sink, most_waiting=2)
    for name in ("a", "b", "c"):
        telling.tell(paused(name), ANN)
    assert caplog.messages == ["NOTIFY: pause_topic of c is lost: 2 wait already"]
    await telling.close(patience=0)


async def test_the_end_waits_for_those_that_are_left_but_not_for_ever(
    sink: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    telling = notifier(sink, pauses=(3600.0,))
    sink.statuses = [500]
    telling.tell(paused("a"), ANN)
    telling.tell(paused("b"), ANN)
    await sink.wait(1)
    await telling.close()
    assert [body["topic"] for body in sink.bodies] == ["a", "a", "b"], "the pause ended with the program"
    telling = notifier(sink)
    sink.hanging = True
    telling.tell(paused("c"), ANN)
    telling.tell(paused("d"), ANN)
    await sink.wait(4)
    caplog.clear()
    await telling.close(patience=0.05)
    assert caplog.messages == [f"NOTIFY: pause_topic of {name} is lost: nsqadmin ends" for name in ("c", "d")]


async def test_ending_leaves_no_task_behind(sink: Sink) -> None:
    telling = notifier(sink)
    telling.tell(paused("a"), ANN)
    await telling.close()
    await telling.close()
    assert [task for task in asyncio.all_tasks() if task.get_name() == "notifications"] == []


async def test_the_certificate_of_an_endpoint_is_verified_by_the_systems_authorities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.server.configure_cert(context)
    async with Sink(context) as sink:
        telling = notifier(sink, pauses=())
        telling.tell(paused("a"), ANN)
        await telling.close()
        assert caplog.messages[0].startswith(
            "NOTIFY: pause_topic of a is lost after 1 tries: certificate verify failed"
        )
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        telling = notifier(sink)
        telling.tell(paused("b"), ANN)
        await telling.close()
        assert [body["topic"] for body in sink.bodies] == ["b"]


# -- from a request to the endpoint ----------------------------------------------------------------


async def test_every_change_that_was_made_is_told(world: World, sink: Sink) -> None:
    nsqd = await world.nsqd(topic("t", channel("c")))
    hook = sink.url.replace("//", "//hook:secret@") + "/hook?key=1"
    admin = await world.admin(await world.lookupd(nsqd), notification_http_endpoint=hook)
    before = int(time.time())
    agent = {"User-Agent": "curl/8", "X-Scheme": "https"}
    calls: list[tuple[str, str, dict[str, str] | None]] = [
        ("POST", "/api/topics", {"topic": "n", "channel": "x"}),
        ("POST", "/api/topics/t", {"action": "pause"}),
        ("POST", "/api/topics/t/c", {"action": "empty"}),
        ("POST", "/api/topics/nope", {"action": "pause"}),
        ("DELETE", f"/api/nodes/{nsqd.name}", {"topic": "t"}),
        ("DELETE", "/api/topics/n", None),
    ]
    for method, path, body in calls:
        await admin.ask(method, path, json=body, headers=agent)
    await sink.wait(6)
    assert [(body["action"], body["topic"], body.get("channel")) for body in sink.bodies] == [
        ("create_topic", "n", None),
        ("create_channel", "n", "x"),
        ("pause_topic", "t", None),
        ("empty_channel", "t", "c"),
        ("tombstone_topic_producer", "t", None),
        ("delete_topic", "n", None),
    ]
    first, tombstone = sink.bodies[0], sink.bodies[4]
    assert before <= first.pop("timestamp") <= time.time()
    assert first.pop("remote_ip").startswith("127.0.0.1:")
    host = admin.base.removeprefix("http://")
    assert first == {
        "action": "create_topic",
        "topic": "n",
        "user_agent": "curl/8",
        "url": f"https://{host}/api/topics",
        "via": socket.gethostname(),
    }
    assert tombstone["node"] == nsqd.name
    assert sink.requests[0].path_qs == "/hook?key=1"
    assert sink.requests[0].headers["Authorization"] == "Basic aG9vazpzZWNyZXQ="


@pytest.mark.parametrize(
    ("headers", "user"),
    [
        ({"X-Forwarded-User": "ann", "Authorization": "Basic Ym9iOng="}, "ann"),
        ({"Authorization": "Basic Ym9iOng="}, "bob"),
        ({"Authorization": "Basic ???"}, None),
        ({"Authorization": "Bearer Ym9iOng="}, None),
        ({}, None),
    ],
)
async def test_the_user_is_the_one_who_may_act_or_else_the_one_of_basic(
    world: World, sink: Sink, headers: dict[str, str], user: str | None
) -> None:
    admin = await world.admin(
        await world.lookupd(await world.nsqd(topic("t"))), notification_http_endpoint=sink.url
    )
    await admin.post("/api/topics/t", json={"action": "pause"}, headers=headers)
    await sink.wait(1)
    assert sink.bodies[0].get("user") == user


async def test_who_names_no_host_makes_nobody_look_one_up(
    world: World, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda *_: pytest.fail("that blocks"))
    lookupd = await world.lookupd(await world.nsqd(topic("t")))
    admin = await world.admin(lookupd, notification_http_endpoint=sink.url)
    host, port = admin.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b'POST /api/topics/t HTTP/1.0\r\nContent-Length: 18\r\n\r\n{"action":"pause"}')
    assert b" 200 " in await reader.readline()
    writer.close()
    await writer.wait_closed()
    await sink.wait(1)
    assert sink.bodies[0]["url"] == "http:///api/topics/t"


async def test_a_change_on_a_page_is_told_too(world: World, sink: Sink) -> None:
    lookupd = await world.lookupd(await world.nsqd(topic("t")))
    admin = await world.admin(lookupd, notification_http_endpoint=sink.url)
    assert (await admin.confirm("/actions/delete?topic=t")).status == 200
    await sink.wait(1)
    assert sink.bodies[0]["action"] == "delete_topic"
    assert sink.bodies[0]["url"] == admin.base + "/actions/delete"


async def test_a_hanging_endpoint_delays_nobody(world: World, sink: Sink) -> None:
    sink.hanging = True
    lookupd = await world.lookupd(await world.nsqd(topic("t")))
    admin = await world.admin(lookupd, notification_http_endpoint=sink.url)
    async with asyncio.timeout(1.5):  # the endpoint has 2 s
        for _ in range(3):
            assert (await admin.post("/api/topics/t", json={"action": "pause"})).status == 200
