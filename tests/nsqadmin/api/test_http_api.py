"""The JSON API as scripts see it."""

from __future__ import annotations

import pytest

from nsqcore.errors import HttpError
from tests.nsqadmin.world import World
from tests.support.fake_cluster import channel, client, topic

JSON_NODE = "json: cannot unmarshal number into Go struct field .node of type string"


async def test_topics_are_listed_and_null_when_there_are_none(world: World) -> None:
    nsqd = await world.nsqd()
    admin = await world.admin(await world.lookupd(nsqd))
    assert (await admin.get("/api/topics")).text == '{"topics":null,"message":""}'
    nsqd.topics += [topic("b"), topic("a")]
    answer = await admin.get("/api/topics")
    assert answer.text == '{"topics":["a","b"],"message":""}'
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["X-Nsq-Content-Type"] == "nsq; version=1.0"


async def test_inactive_topics_come_with_their_channels(world: World) -> None:
    nsqd = await world.nsqd(topic("busy"))
    admin = await world.admin(await world.lookupd(nsqd, registered={"ghost": ["gc"]}))
    answer = await admin.get("/api/topics?inactive=true")
    assert answer.text == '{"topics":{"ghost":["gc"]},"message":""}'
    assert (await admin.get("/api/topics?inactive=1")).json["topics"] == ["busy", "ghost"]
    assert (await (await world.admin(nsqd)).get("/api/topics?inactive=true")).json["topics"] == {}


@pytest.mark.parametrize("by_lookupd", [True, False])
async def test_a_topic_is_added_up_over_its_nodes(world: World, by_lookupd: bool) -> None:
    one = await world.nsqd(topic("t", channel("c", depth=1, in_flight_count=2), depth=3), hostname="h1")
    two = await world.nsqd(topic("t", channel("c", depth=5), depth=7, backend_depth=6), hostname="h2")
    admin = await (world.admin(await world.lookupd(one, two)) if by_lookupd else world.admin(one, two))
    answer = (await admin.get("/api/topics/t")).json
    assert (answer["node"], answer["depth"], answer["memory_depth"], answer["message"]) == ("*", 10, 4, "")
    assert [(node["node"], node["hostname"], node["depth"]) for node in answer["nodes"]] == [
        (one.name, "h1", 3),
        (two.name, "h2", 7),
    ]
    assert [node["channels"][0]["depth"] for node in answer["nodes"]] == [1, 5]
    [total] = answer["channels"]
    assert (total["depth"], total["in_flight_count"], total["node"], len(total["nodes"])) == (6, 2, "*", 2)


async def test_a_channel_comes_with_its_clients(world: World) -> None:
    nsqd = await world.nsqd(topic("t", channel("c", clients=[client("w", ready_count=9)])))
    admin = await world.admin(await world.lookupd(nsqd))
    answer = (await admin.get("/api/topics/t/c")).json
    [shown] = answer["clients"]
    assert (shown["node"], shown["hostname"], shown["ready_count"]) == (nsqd.name, "w", 9)
    assert shown["connected"] >= 60_000_000_000
    assert (answer["client_count"], answer["message"]) == (1, "")


@pytest.mark.parametrize("by_lookupd", [True, False])
async def test_what_is_unknown_is_a_404_with_its_code(world: World, by_lookupd: bool) -> None:
    nsqd = await world.nsqd(topic("t", channel("c")))
    admin = await (world.admin(await world.lookupd(nsqd)) if by_lookupd else world.admin(nsqd))
    for path, code in [
        ("/api/topics/nope", "TOPIC_NOT_FOUND"),
        ("/api/topics/nope/c", "TOPIC_NOT_FOUND"),
        ("/api/topics/t/nope", "CHANNEL_NOT_FOUND"),
        ("/api/nodes/127.0.0.1:1", "NODE_NOT_FOUND"),
        ("/api/nothing", "NOT_FOUND"),
    ]:
        answer = await admin.get(path)
        assert (answer.status, answer.text) == (404, f'{{"message":"{code}"}}'), path


async def test_a_topic_without_producers_is_empty_and_no_error(world: World) -> None:
    admin = await world.admin(await world.lookupd(registered={"ghost": ["c"]}))
    answer = await admin.get("/api/topics/ghost")
    assert answer.status == 200
    assert (answer.json["nodes"], answer.json["depth"], answer.json["message"]) == (None, 0, "")
    assert (await admin.get("/api/topics/ghost/c")).json["nodes"] is None


async def test_nodes_are_those_of_all_nsqlookupds(world: World) -> None:
    old, new = await world.nsqd(topic("t"), hostname="a", version="1.2.0"), await world.nsqd(hostname="b")
    one, two = await world.lookupd(old, new), await world.lookupd(new)
    one.tombstones.add(("t", old.name))
    admin = await world.admin(one, two)
    first, second = (await admin.get("/api/nodes")).json["nodes"]
    assert (first["hostname"], first["out_of_date"]) == ("a", True)
    assert first["topics"] == [{"topic": "t", "tombstoned": True}]
    assert second["remote_addresses"] == [
        f"{one.address}/127.0.0.1:{new.port + 1}",
        f"{two.address}/127.0.0.1:{new.port + 1}",
    ]
    assert (await (await world.admin(await world.lookupd())).get("/api/nodes")).json["nodes"] is None


async def test_a_node_tells_what_it_holds(world: World) -> None:
    held = channel("c", clients=[client("v"), client("w")])
    nsqd = await world.nsqd(topic("t", held, message_count=4), topic("u", message_count=3))
    admin = await world.admin(await world.lookupd(nsqd))
    answer = (await admin.get(f"/api/nodes/{nsqd.name}")).json
    assert list(answer) == ["node", "topics", "total_messages", "total_clients", "message"]
    assert (answer["node"], answer["total_messages"], answer["total_clients"]) == (nsqd.name, 7, 2)
    assert [t["topic_name"] for t in answer["topics"]] == ["t", "u"]


async def test_the_counter_counts_each_channel_on_each_node(world: World) -> None:
    nsqd = await world.nsqd(topic("t", channel("c", message_count=8)), topic("no-channels", message_count=5))
    admin = await world.admin(await world.lookupd(nsqd))
    key = f"t:c:{nsqd.name}"
    assert (await admin.get("/api/counter")).json == {
        "stats": {key: {"node": nsqd.name, "topic_name": "t", "channel_name": "c", "message_count": 8}},
        "message": "",
    }
    empty = await world.admin(await world.lookupd())
    assert (await empty.get("/api/counter")).text == '{"stats":{},"message":""}'


async def test_a_dead_node_is_a_warning(world: World) -> None:
    live, dead = await world.nsqd(topic("t")), await world.nsqd(topic("t"))
    lookupd, dead_lookupd = await world.lookupd(live, dead), await world.lookupd(live)
    admin = await world.admin(lookupd, dead_lookupd)
    await dead.stop()
    await dead_lookupd.stop()
    answer = await admin.get("/api/topics/t")
    assert answer.status == 200
    assert answer.json["message"] == (
        f"WARNING: nsqlookupd {dead_lookupd.address}: connection refused; "
        f"nsqd {dead.address}: connection refused"
    )


async def test_when_all_nodes_are_dead_there_is_no_answer(world: World) -> None:
    nsqd = await world.nsqd(topic("t"))
    admin = await world.admin(await world.lookupd(nsqd))
    await nsqd.stop()
    for path in ("/api/topics/t", "/api/counter", f"/api/nodes/{nsqd.name}"):
        answer = await admin.get(path)
        assert answer.status == 502, path
        assert answer.json["message"].startswith("UPSTREAM_ERROR: failed to query any nsqd: "), path


async def test_create_takes_a_topic_and_a_channel(world: World) -> None:
    lookupd = await world.lookupd()
    admin = await world.admin(lookupd)
    answer = await admin.post("/api/topics", json={"topic": "t", "channel": "c"})
    assert (answer.status, answer.text) == (200, '{"message":""}')
    assert lookupd.known() == {"t": ["c"]}
    await admin.post("/api/topics", json={"topic": "u"})
    assert lookupd.known() == {"t": ["c"], "u": []}


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "/api/topics", b"", "EOF"),
        ("POST", "/api/topics", b"{}", "INVALID_TOPIC"),
        ("POST", "/api/topics", b'{"topic":"a b"}', "INVALID_TOPIC"),
        ("POST", "/api/topics", b'{"topic":"t","channel":"a b"}', "INVALID_CHANNEL"),
        ("POST", "/api/topics", b"{", "unexpected EOF"),
        (
            "POST",
            "/api/topics",
            b'{"topic":5}',
            "json: cannot unmarshal number into Go struct field .topic of type string",
        ),
        ("POST", "/api/topics", b"[]", "json: cannot unmarshal array into an object"),
        ("POST", "/api/topics/t", b'{"action":"pause","node":5}', JSON_NODE),
        ("DELETE", "/api/topics/t", b"{", "INVALID_BODY"),
        ("DELETE", "/api/topics/t/c", b'{"node":5}', "INVALID_BODY"),
        ("POST", "/api/topics/t", b'{"action":"explode"}', "INVALID_ACTION"),
        ("POST", "/api/topics/t", b'{"action":"delete"}', "INVALID_ACTION"),
        ("POST", "/api/topics/t/c", b"{}", "INVALID_ACTION"),
        ("DELETE", "/api/nodes/n:1", b"", "INVALID_BODY"),
        ("DELETE", "/api/nodes/n:1", b"{", "INVALID_BODY"),
        ("DELETE", "/api/nodes/n:1", b'{"topic":"a b"}', "INVALID_TOPIC"),
    ],
)
async def test_a_bad_body_changes_nothing(
    world: World, method: str, path: str, body: bytes, code: str
) -> None:
    nsqd = await world.nsqd(topic("t", channel("c")))
    lookupd = await world.lookupd(nsqd)
    answer = await (await world.admin(lookupd)).ask(method, path, data=body)
    assert (answer.status, answer.json["message"]) == (400, code)
    assert (nsqd.calls, lookupd.calls) == ([], [])


async def test_actions_reach_topic_and_channel(world: World) -> None:
    nsqd = await world.nsqd(topic("t#ephemeral", channel("c", depth=5), depth=6))
    admin = await world.admin(await world.lookupd(nsqd))
    path = "/api/topics/t%23ephemeral"
    for target, action in [(path, "pause"), (path + "/c", "pause"), (path, "empty"), (path + "/c", "empty")]:
        answer = await admin.post(target, json={"action": action})
        assert (answer.status, answer.text) == (200, '{"message":""}')
    [found] = nsqd.topics
    assert (found["paused"], found["depth"]) == (True, 0)
    assert (found["channels"][0]["paused"], found["channels"][0]["depth"]) == (True, 0)
    await admin.post(path, json={"action": "unpause"})
    assert not found["paused"]


async def test_delete_takes_no_body(world: World) -> None:
    nsqd = await world.nsqd(topic("t", channel("c")))
    admin = await world.admin(await world.lookupd(nsqd))
    assert (await admin.ask("DELETE", "/api/topics/t/c")).text == '{"message":""}'
    assert [t["channels"] for t in nsqd.topics] == [[]]
    assert (await admin.ask("DELETE", "/api/topics/t")).text == '{"message":""}'
    assert nsqd.topics == []


@pytest.mark.parametrize("by_lookupd", [True, False])
async def test_one_node_alone_can_be_changed(world: World, by_lookupd: bool) -> None:
    one, other = [await world.nsqd(topic("t", channel("c", depth=5), depth=6)) for _ in range(2)]
    admin = await (world.admin(await world.lookupd(one, other)) if by_lookupd else world.admin(one, other))
    for path, action in [
        ("t", "pause"),
        ("t/c", "pause"),
        ("t", "unpause"),
        ("t", "empty"),
        ("t/c", "empty"),
    ]:
        answer = await admin.post(f"/api/topics/{path}", json={"action": action, "node": one.name})
        assert (answer.status, answer.text) == (200, '{"message":""}')
    for path in ("t/c", "t"):
        answer = await admin.ask("DELETE", f"/api/topics/{path}", json={"node": one.name})
        assert (answer.status, answer.text) == (200, '{"message":""}')
    assert [call.split("?")[0] for call in one.calls] == [
        "/topic/pause",
        "/channel/pause",
        "/topic/unpause",
        "/topic/empty",
        "/channel/empty",
        "/channel/delete",
        "/topic/delete",
    ]
    assert other.calls == []
    for body in ({"action": "pause", "node": "127.0.0.1:1"}, {"action": "pause", "node": one.name}):
        answer = await admin.post("/api/topics/t", json=body)
        assert answer.status == 404
    assert answer.json["message"] == "TOPIC_NOT_FOUND"


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("inactive=%zz", 'invalid URL escape "%zz"'),
        ("inactive=true&x=%z", 'invalid URL escape "%z"'),
        ("a;b", "invalid semicolon separator in query"),
    ],
)
async def test_a_broken_query_is_told_in_the_originals_words(world: World, query: str, text: str) -> None:
    admin = await world.admin(await world.lookupd())
    answer = await admin.get(f"/api/topics?{query}")
    assert (answer.status, answer.json) == (400, {"message": text})


async def test_delete_of_a_node_is_a_tombstone(world: World) -> None:
    nsqd = await world.nsqd(topic("t"))
    lookupd = await world.lookupd(nsqd)
    answer = await (await world.admin(lookupd)).ask("DELETE", f"/api/nodes/{nsqd.name}", json={"topic": "t"})
    assert (answer.status, answer.text) == (200, '{"message":""}')
    assert (lookupd.tombstones, nsqd.topics) == ({("t", nsqd.name)}, [])


async def test_partial_failure_is_a_warning_and_total_failure_an_error(world: World) -> None:
    good, bad = await world.nsqd(topic("t")), await world.nsqd(topic("t"))
    admin = await world.admin(await world.lookupd(good, bad))
    bad.lies["/topic/pause"] = HttpError(500, "INTERNAL_ERROR")
    answer = await admin.post("/api/topics/t", json={"action": "pause"})
    assert answer.status == 200
    assert answer.json["message"].startswith(f"WARNING: nsqd {bad.address}: got response 500")
    good.lies["/topic/pause"] = HttpError(500, "INTERNAL_ERROR")
    answer = await admin.post("/api/topics/t", json={"action": "pause"})
    assert answer.status == 502
    assert answer.json["message"].startswith("UPSTREAM_ERROR: nothing was changed: nsqd ")


async def test_a_topic_on_no_node_has_nothing_to_pause(world: World) -> None:
    admin = await world.admin(await world.lookupd(registered={"ghost": []}))
    answer = await admin.post("/api/topics/ghost", json={"action": "pause"})
    assert answer.status == 200
    assert answer.json["message"] == "WARNING: no nsqd has topic ghost, nothing was changed"
    answer = await admin.post("/api/topics/nope", json={"action": "pause"})
    assert (answer.status, answer.json["message"]) == (404, "TOPIC_NOT_FOUND")


async def test_a_wrong_method_is_told_the_right_ones(world: World) -> None:
    admin = await world.admin(await world.lookupd())
    answer = await admin.ask("PUT", "/api/topics")
    assert (answer.status, answer.json) == (405, {"message": "METHOD_NOT_ALLOWED"})
    assert answer.headers["Allow"] == "GET, OPTIONS, POST"
