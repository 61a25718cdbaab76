"""The links to nsqlookupds: what they are told and when, and the channels that new topics get from them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from nsqcore.wire.lookup import encode_answer
from nsqd.lookup import peer as lookup_peer
from tests.support.nsqd import Node, eventually
from tests.support.scripted_lookupd import ScriptedLookupd

pytestmark = pytest.mark.usefixtures("quick_disk")


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup_peer, "FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(lookup_peer, "LAST_RETRY_S", 0.02)


@pytest_asyncio.fixture
async def lookupd() -> AsyncIterator[ScriptedLookupd]:
    async with ScriptedLookupd() as running:
        yield running


async def linked(lookupd: ScriptedLookupd, times: int = 1) -> None:
    """The node has introduced itself so often."""
    await lookupd.until(lambda: len(lookupd.identities) >= times)


# -- registration ----------------------------------------------------------------------------------


async def test_a_node_introduces_itself(tmp_path: Path, lookupd: ScriptedLookupd) -> None:
    async with Node(tmp_path, lookupd.flag, "--topology-region=r", "--topology-zone=z") as node:
        await linked(lookupd)
        assert list(lookupd.identities[0].items()) == [
            ("broadcast_address", "127.0.0.1"),
            ("hostname", socket.gethostname()),
            ("http_port", node.http[1]),
            ("tcp_port", node.tcp[1]),
            ("topology_region", "r"),
            ("topology_zone", "z"),
            ("version", "1.3.0"),
        ]


async def test_the_broadcast_address_and_ports_are_told_where_given(
    tmp_path: Path, lookupd: ScriptedLookupd
) -> None:
    flags = ("--broadcast-address=me.example", "--broadcast-tcp-port=1", "--broadcast-http-port=2")
    async with Node(tmp_path, lookupd.flag, *flags):
        await linked(lookupd)
        told = lookupd.identities[0]
        assert (told["broadcast_address"], told["tcp_port"], told["http_port"]) == ("me.example", 1, 2)


async def test_without_http_the_port_told_is_0(tmp_path: Path, lookupd: ScriptedLookupd) -> None:
    async with Node(tmp_path, lookupd.flag, "--http-address="):
        await linked(lookupd)
        assert lookupd.identities[0]["http_port"] == 0


async def test_all_topics_and_channels_are_registered_on_connecting(
    tmp_path: Path, lookupd: ScriptedLookupd
) -> None:
    async with Node(tmp_path) as node:
        await node.post("/topic/create?topic=empty")
        for name in ("a", "b"):
            await node.subscribe("t", name)
    async with Node(tmp_path, lookupd.flag):
        await lookupd.expect("REGISTER empty", "REGISTER t a", "REGISTER t b")
        lookupd.nothing_more()


async def test_ephemeral_topics_and_channels_are_registered_too(
    tmp_path: Path, lookupd: ScriptedLookupd
) -> None:
    async with Node(tmp_path, lookupd.flag) as node:
        await linked(lookupd)
        consumer = await node.subscribe("t#ephemeral", "c#ephemeral")
        await lookupd.expect("REGISTER t#ephemeral", "REGISTER t#ephemeral c#ephemeral")
        consumer.close()
        await lookupd.expect("UNREGISTER t#ephemeral c#ephemeral", "UNREGISTER t#ephemeral")


async def test_changes_are_told_in_their_order(tmp_path: Path, lookupd: ScriptedLookupd) -> None:
    async with Node(tmp_path, lookupd.flag) as node:
        await linked(lookupd)
        await node.publish("t", b"x")
        await lookupd.expect("REGISTER t")
        await node.post("/channel/create?topic=t&channel=a")
        await node.subscribe("t", "b")
        await lookupd.expect("REGISTER t a", "REGISTER t b")
        await node.post("/channel/delete?topic=t&channel=a")
        await node.post("/topic/create?topic=u")
        await lookupd.expect("UNREGISTER t a", "REGISTER u")
        await node.post("/topic/delete?topic=t")
        await lookupd.expect("UNREGISTER t b", "UNREGISTER t")
        await node.post("/topic/pause?topic=u")
        lookupd.nothing_more()


async def test_every_nsqlookupd_is_told(tmp_path: Path, lookupd: ScriptedLookupd) -> None:
    async with ScriptedLookupd() as other, Node(tmp_path, lookupd.flag, other.flag, lookupd.flag) as node:
        await linked(lookupd)
        await linked(other)
        await node.subscribe("t", "c")
        for each in (lookupd, other):
            await each.expect("REGISTER t", "REGISTER t c")
            assert each.connections == 1  # an address given twice is one nsqlookupd


async def test_at_the_end_nothing_is_said(tmp_path: Path, lookupd: ScriptedLookupd) -> None:
    async with Node(tmp_path, lookupd.flag) as node:
        await linked(lookupd)
        await node.publish("t", b"x")
        await lookupd.expect("REGISTER t")
    await lookupd.until(lambda: not lookupd.open)
    lookupd.nothing_more()


# -- pings and reconnecting ------------------------------------------------------------------------


async def test_an_idle_link_is_pinged(
    tmp_path: Path, lookupd: ScriptedLookupd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup_peer, "PING_S", 0.02)
    pings = 0

    def script(command: str) -> bytes:
        nonlocal pings
        pings += command == "PING"
        return b"OK"

    lookupd.script = script
    async with Node(tmp_path, lookupd.flag):
        await lookupd.until(lambda: pings >= 3)
        assert lookupd.connections == 1


async def test_the_ping_interval_is_the_originals() -> None:
    assert lookup_peer.PING_S == 15.0


async def test_a_dropped_link_is_made_again_at_once_and_begins_with_everything(
    tmp_path: Path, lookupd: ScriptedLookupd, caplog: pytest.LogCaptureFixture
) -> None:
    async with Node(tmp_path, lookupd.flag) as node:
        await node.subscribe("t", "c")
        await linked(lookupd)
        await lookupd.until(lambda: bool(lookupd.commands))
        await lookupd.stop()
        await node.subscribe("t", "d")
        await node.post("/topic/create?topic=u")
        await node.post("/topic/delete?topic=u")
        lookupd.commands.clear()
        lookupd._seen = 0
        await lookupd.start()
        await lookupd.expect("REGISTER t c", "REGISTER t d")
        assert f"LOOKUPD({lookupd.address}): EOF" in caplog.messages
        await node.subscribe("v", "c")
        await lookupd.expect("REGISTER v", "REGISTER v c")
        lookupd.nothing_more()


async def test_a_nsqlookupd_that_speaks_without_being_asked_is_connected_anew(
    tmp_path: Path, lookupd: ScriptedLookupd, caplog: pytest.LogCaptureFixture
) -> None:
    async with Node(tmp_path, lookupd.flag) as node:
        await linked(lookupd)
        await node.publish("t", b"x")
        await lookupd.expect("REGISTER t")
        lookupd.say(encode_answer(b"OK"))
        await linked(lookupd, 2)
        assert f"LOOKUPD({lookupd.address}): answer to nothing" in caplog.messages


async def test_what_a_nsqlookupd_is_is_logged_as_the_original_does(
    tmp_path: Path, lookupd: ScriptedLookupd, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    lookupd.identify_answer = encode_answer(
        b'{"tcp_port":4160,"http_port":4161,"version":"1.3.0","broadcast_address":"one.example"}'
    )
    line = "peer info {TCPPort:4160 HTTPPort:4161 Version:1.3.0 BroadcastAddress:one.example}"
    async with Node(tmp_path, lookupd.flag):
        await eventually(lambda: f"LOOKUPD({lookupd.address}): {line}" in caplog.messages)


async def test_a_nsqlookupd_that_is_not_there_yet_is_tried_again(
    tmp_path: Path, lookupd: ScriptedLookupd
) -> None:
    await lookupd.stop()
    async with Node(tmp_path, lookupd.flag) as node:
        await node.publish("t", b"x")
        await lookupd.start()
        await lookupd.expect("REGISTER t")


@pytest.mark.parametrize(
    "answer",
    [
        *[
            encode_answer(data)
            for data in (
                b"E_INVALID",
                b"",
                b"{a}",
                b"null",
                b"[]",
                b"\xff\xfe",
                b'{"broadcast_address":"b","http_port":"many"}',
                b'{"broadcast_address":7,"http_port":1}',
                b"[" * 100_000,
            )
        ],
        b"\xff\xff\xff\xff",
        b"\x7f\xff\xff\xff",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
    ids=lambda answer: repr(answer[:20]),
)
async def test_a_senseless_answer_to_identify_ends_the_link_which_is_tried_again(
    tmp_path: Path, lookupd: ScriptedLookupd, answer: bytes
) -> None:
    lookupd.identify_answer = answer
    async with Node(tmp_path, lookupd.flag) as node:
        await linked(lookupd, 2)
        await node.publish("t", b"x")
        lookupd.identify_answer = None
        await lookupd.expect("REGISTER t")


async def test_a_nsqlookupd_that_tells_nothing_of_itself_is_told_everything_all_the_same(
    tmp_path: Path, lookupd: ScriptedLookupd, caplog: pytest.LogCaptureFixture
) -> None:
    lookupd.identify_answer = b"\0\0\0\2{}"
    async with Node(tmp_path, lookupd.flag) as node:
        await linked(lookupd)
        await node.publish("t", b"x")
        await lookupd.expect("REGISTER t")
        assert lookupd.connections == 1
        assert f"LOOKUPD({lookupd.address}): no broadcast address" in caplog.messages
        await eventually(lambda: node.topic("t").started)


async def test_a_nsqlookupd_that_answers_a_command_with_an_error_stays_linked(
    tmp_path: Path, lookupd: ScriptedLookupd, caplog: pytest.LogCaptureFixture
) -> None:
    lookupd.script = lambda command: b"E_BAD_TOPIC no" if command == "REGISTER t" else b"OK"
    async with Node(tmp_path, lookupd.flag) as node:
        await linked(lookupd)
        await node.publish("t", b"x")
        await node.publish("u", b"x")
        await lookupd.expect("REGISTER t", "REGISTER u")
        assert lookupd.connections == 1
        assert f"LOOKUPD({lookupd.address}): REGISTER t answered E_BAD_TOPIC no" in caplog.messages


async def test_a_nsqlookupd_that_stops_answering_is_connected_anew(
    tmp_path: Path, lookupd: ScriptedLookupd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup_peer, "TIMEOUT_S", 0.05)
    lookupd.script = lambda command: None
    async with Node(tmp_path, lookupd.flag) as node:
        await node.publish("t", b"x")
        await linked(lookupd, 2)
        lookupd.script = lambda command: b"OK"
        await node.publish("u", b"x")
        await lookupd.until(lambda: "REGISTER u" in lookupd.commands)


async def test_an_address_that_is_none_is_an_error_in_the_log_and_nothing_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Node(tmp_path, "--lookupd-tcp-address=nonsense") as node:
        await node.publish("t", b"x")
        await eventually(lambda: node.topic("t").started)
        assert (
            "LOOKUPD(nonsense): connecting - dial tcp: address nonsense: missing port in address"
            in caplog.messages
        )


# -- one that is slow ------------------------------------------------------------------------------


async def test_a_slow_nsqlookupd_delays_neither_the_others_nor_publishers(
    tmp_path: Path, lookupd: ScriptedLookupd
) -> None:
    async with ScriptedLookupd() as slow, Node(tmp_path, slow.flag, lookupd.flag) as node:
        await linked(slow)
        await linked(lookupd)
        slow.answering.clear()
        producer = await node.connect()
        await producer.pub("t", b"1", b"2")
        await node.subscribe("t", "c")
        assert (await node.request("POST", "/pub?topic=u", b"x")).status == 200
        await lookupd.expect("REGISTER t", "REGISTER t c", "REGISTER u")
        assert not node.topic("t").started  # it still waits for the slow one's channels
        assert node.topic("t").depth == 2
        slow.answering.set()
        await eventually(lambda: node.channel("t", "c").depth == 2)


# -- channels of a new topic -----------------------------------------------------------------------


async def test_a_new_topic_gets_the_channels_that_the_nsqlookupds_know_before_any_message(
    tmp_path: Path, lookupd: ScriptedLookupd
) -> None:
    async with ScriptedLookupd() as other, Node(tmp_path, lookupd.flag, other.flag) as node:
        await linked(lookupd)
        await linked(other)
        lookupd.channels["t"] = ["b", "a"]
        other.channels["t"] = ["b", "c"]
        await node.publish("t", b"1", b"2")
        await eventually(lambda: node.topic("t").started)
        assert list(node.topic("t").channels) == ["a", "b", "c"]
        await eventually(lambda: node.topic("t").depth == 0)
        for name in ("a", "b", "c"):
            consumer = await node.subscribe("t", name, rdy=2)
            assert await consumer.bodies(2) == [b"1", b"2"]
        assert lookupd.asked == other.asked == ["t"]
        await lookupd.expect("REGISTER t", "REGISTER t a", "REGISTER t b", "REGISTER t c")


async def test_ephemeral_channels_and_bad_names_are_left_out(
    tmp_path: Path, lookupd: ScriptedLookupd
) -> None:
    async with Node(tmp_path, lookupd.flag) as node:
        await linked(lookupd)
        lookupd.channels["t#ephemeral"] = ["a", "b#ephemeral", "", "c d", "e" * 65]
        await node.publish("t#ephemeral", b"x")
        await eventually(lambda: node.topic("t#ephemeral").started)
        assert list(node.topic("t#ephemeral").channels) == ["a"]
        assert lookupd.asked == ["t#ephemeral"]


async def test_what_is_published_meanwhile_waits_and_keeps_its_order(
    tmp_path: Path, lookupd: ScriptedLookupd
) -> None:
    async with Node(tmp_path, lookupd.flag, "--mem-queue-size=5") as node:
        await linked(lookupd)
        consumer = await node.subscribe("u", "unrelated", rdy=10)
        lookupd.channels["t"] = ["c"]
        lookupd.answering.clear()
        bodies = [b"%d" % n for n in range(20)]
        producer = await node.connect()
        await producer.pub("t", *bodies[:10])
        await producer.mpub("t", *bodies[10:])
        await producer.dpub("t", 1, b"deferred")
        await lookupd.until(lambda: lookupd.asked == ["u", "t"] or lookupd.asked == ["t"])
        assert node.topic("t").depth == 21
        lookupd.answering.set()
        await eventually(lambda: node.topic("t").started)
        subscriber = await node.subscribe("t", "c", rdy=100)
        got = await subscriber.bodies(21)
        assert [body for body in got if body != b"deferred"] == bodies
        await consumer.settled()


async def test_a_topic_starts_although_one_of_two_nsqlookupds_fails(
    tmp_path: Path, lookupd: ScriptedLookupd, caplog: pytest.LogCaptureFixture
) -> None:
    async with ScriptedLookupd() as broken, Node(tmp_path, lookupd.flag, broken.flag) as node:
        await linked(lookupd)
        await linked(broken)
        broken.http_status = 500
        lookupd.channels["t"] = ["c"]
        await node.publish("t", b"x")
        await eventually(lambda: node.topic("t").started)
        assert list(node.topic("t").channels) == ["c"]
    [warning] = [m for m in caplog.messages if "pre-create" in m]
    assert warning.startswith("failed to query nsqlookupd for channels to pre-create for topic t - ")


async def test_a_topic_starts_although_all_nsqlookupds_fail(
    tmp_path: Path, lookupd: ScriptedLookupd, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    lookupd.tells = {"http_port": port}
    async with Node(tmp_path, lookupd.flag) as node:
        await linked(lookupd)
        consumer = await node.subscribe("t", "c", rdy=1)
        await node.publish("t", b"x")
        assert await consumer.bodies(1) == [b"x"]
    assert any(m.startswith("failed to query nsqlookupd for channels to pre-create") for m in caplog.messages)


async def test_a_topic_starts_although_no_nsqlookupd_was_ever_there(
    tmp_path: Path, lookupd: ScriptedLookupd, caplog: pytest.LogCaptureFixture
) -> None:
    await lookupd.stop()
    async with Node(tmp_path, lookupd.flag) as node:
        consumer = await node.subscribe("t", "c", rdy=1)
        await node.publish("t", b"x")
        assert await consumer.bodies(1) == [b"x"]
    assert "no available nsqlookupd to query for channels to pre-create for topic t" in caplog.messages


async def test_an_answer_that_is_none_is_as_good_as_a_failure(
    tmp_path: Path, lookupd: ScriptedLookupd
) -> None:
    async with Node(tmp_path, lookupd.flag) as node:
        await linked(lookupd)
        for n, channels in enumerate((None, 5, {"a": 1}, [1, None, "ok"])):
            lookupd.channels[f"t{n}"] = channels  # type: ignore[assignment]
            await node.publish(f"t{n}", b"x")
            await eventually(lambda n=n: node.topic(f"t{n}").started)  # type: ignore[misc]
        assert list(node.topic("t3").channels) == ["ok"]
        assert not node.topic("t0").channels


async def test_a_topic_deleted_while_its_channels_are_asked_for_stays_deleted(
    tmp_path: Path, lookupd: ScriptedLookupd
) -> None:
    async with Node(tmp_path, lookupd.flag) as node:
        await linked(lookupd)
        lookupd.channels["t"] = ["c"]
        lookupd.answering.clear()
        await node.publish("t", b"x")
        topic = node.topic("t")
        await lookupd.until(lambda: lookupd.asked == ["t"])
        await node.post("/topic/delete?topic=t")
        lookupd.answering.set()
        await eventually(lambda: topic.started)
        assert not topic.channels
        assert b"t" not in node.broker.topics
        await lookupd.expect("REGISTER t", "UNREGISTER t")


async def test_topics_of_an_earlier_life_are_not_asked_for(tmp_path: Path, lookupd: ScriptedLookupd) -> None:
    async with Node(tmp_path) as node:
        await node.publish("t", b"x")
    lookupd.channels["t"] = ["c"]
    async with Node(tmp_path, lookupd.flag) as node:
        await lookupd.expect("REGISTER t")
        assert node.topic("t").started
        assert not node.topic("t").channels
        assert lookupd.asked == []


async def test_the_end_does_not_wait_for_a_nsqlookupd(tmp_path: Path, lookupd: ScriptedLookupd) -> None:
    async with Node(tmp_path, lookupd.flag) as node:
        await linked(lookupd)
        lookupd.answering.clear()
        await node.publish("t", b"x")
        await lookupd.until(lambda: lookupd.asked == ["t"])
        started = asyncio.get_running_loop().time()
        await node.stop()
        assert asyncio.get_running_loop().time() - started < 0.9
    async with Node(tmp_path) as node:
        assert node.topic("t").depth == 1
