"""What was tried against a bridge: broken tokens, floods, silence, and every way to make it lose a message."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import socket
import struct
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from nsqclient import ConfigError, ConnectionOptions
from nsqclient.push import Bridge, Grant, JwtAuth, Settings, doorkeeper
from nsqclient.push.protocol import BadRequest, parse
from tests.nsqclient.push.browsers import Client, Tokens, bridge, connected, mail, up, welcomed
from tests.support.nsqd import Node, eventually


async def raw(one: Bridge) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = one.address.rsplit(":", 1)
    return await asyncio.open_connection(host, int(port))


async def _rest(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection ends, in whatever way."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""


# ---- tokens


async def test_a_token_among_strange_subprotocols_is_not_logged(
    node: Node, stack: AsyncExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    one = await stack.enter_async_context(bridge(node))
    coded = "nsq.token." + base64.urlsafe_b64encode(b"user ann").decode().rstrip("=")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await stack.enter_async_context(Client(one, protocols=(coded,)))
    assert refused.value.status == 400
    assert not [r for r in caplog.records if coded in r.getMessage() and r.name != "asyncio"]


async def test_what_is_no_http_fills_no_log_and_shows_no_token(
    node: Node, stack: AsyncExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    one = await stack.enter_async_context(bridge(node))
    for request in (b"GET /ws?token=top-secret\x00 HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\r\n\r\n"):
        reader, writer = await raw(one)
        writer.write(request)
        async with asyncio.timeout(10):
            await reader.read()
        writer.close()
    assert caplog.text == ""


@pytest.mark.parametrize("command", [{"op": "auth", "token": "\ud800"}, {"op": "ping", "ref": "\udfff"}])
def test_halves_of_characters_are_not_the_protocol(command: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        parse(json.dumps(command))


async def test_an_authenticator_that_fails_lets_nobody_in_and_shows_no_token(
    node: Node, stack: AsyncExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Tokens):
        async def check(self, token: str, *, remote_ip: str, tls: bool) -> Grant:
            raise LookupError(f"no such row: {token}")

    one = await stack.enter_async_context(bridge(node, Broken()))
    client = await stack.enter_async_context(Client(one, "top-secret"))
    assert await client.closed() == 1013
    assert "LookupError" in caplog.text
    assert "top-secret" not in caplog.text


async def test_a_nest_of_brackets_is_a_bad_token(node: Node, stack: AsyncExitStack) -> None:
    nest = base64.urlsafe_b64encode(b"[" * 9000).decode().rstrip("=")
    one = await stack.enter_async_context(bridge(node, JwtAuth("s" * 32)))
    client = await stack.enter_async_context(Client(one, f"{nest}.e30.AAAA"))
    assert await client.closed() == 4401


async def test_showing_tokens_again_and_again_counts_for_much(node: Node, stack: AsyncExitStack) -> None:
    tokens = Tokens()
    one = await stack.enter_async_context(bridge(node, tokens, rate=1, burst=50))
    eve = await connected(stack, one, "user eve")
    for _ in range(20):
        await eve.send(op="auth", token="user eve")
    assert await eve.closed() == 4429
    assert len(tokens.asked) <= 7


@pytest.mark.parametrize(
    ("trusted", "forwarded", "seen"),
    [
        ((), "1.2.3.4", "127.0.0.1"),
        (("127.0.0.1",), "1.2.3.4", "1.2.3.4"),
        (("127.0.0.0/8",), "6.6.6.6, 1.2.3.4", "1.2.3.4"),
    ],
)
async def test_a_bridge_believes_its_own_proxies_only(
    node: Node, stack: AsyncExitStack, trusted: tuple[str, ...], forwarded: str, seen: str
) -> None:
    facts = []

    class Facts(Tokens):
        async def check(self, token: str, *, remote_ip: str, tls: bool) -> Grant:
            facts.append((remote_ip, tls))
            return Grant("ann")

    one = await stack.enter_async_context(bridge(node, Facts(), trusted_proxies=trusted))
    headers = {"X-Forwarded-For": forwarded, "X-Forwarded-Proto": "https"}
    await connected(stack, one, "t", headers=headers)
    assert facts == [(seen, bool(trusted))]


# ---- silence and floods


async def test_who_asks_for_nothing_is_not_waited_for(node: Node, stack: AsyncExitStack) -> None:
    one = await stack.enter_async_context(bridge(node, auth_timeout=0.2))
    silent, slow = await raw(one), await raw(one)
    slow[1].write(b"GET /ws HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    for reader, writer in (silent, slow):
        async with asyncio.timeout(10):
            assert await _rest(reader) == b""
        writer.close()


async def test_silent_connections_give_way_to_new_ones(
    node: Node, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorkeeper, "MOST_UNHEARD", 5)
    one = await stack.enter_async_context(bridge(node))
    silent = [await raw(one) for _ in range(20)]
    await connected(stack, one, "user ann")
    assert len(one._doorkeeper.unheard) <= 5
    for _, writer in silent:
        writer.close()


async def test_pings_count_for_what_a_browser_may_send(node: Node, stack: AsyncExitStack) -> None:
    one = await stack.enter_async_context(bridge(node, rate=1, burst=10))
    polite = await connected(stack, one, "user ann")
    for _ in range(5):
        await polite.ws.ping()
    await polite.send(op="ping")
    await polite.expect("pong")
    for _ in range(20):
        await polite.ws.ping()
    assert await polite.closed() == 4429


@pytest.mark.parametrize(
    "frame",
    [
        b"\x81\xff" + struct.pack("!Q", 1 << 40) + b"mask" + b"x" * 100,  # a terabyte to come
        b"\xc1\x84mask" + b"x" * 4,  # compressed, which was not agreed
        b"\x01\x81maskx" + b"\x00\x81maskx" * 20_000,  # a text in tiny pieces without end
    ],
)
async def test_frames_that_would_cost_memory_end_the_connection(
    node: Node, stack: AsyncExitStack, frame: bytes
) -> None:
    one = await stack.enter_async_context(bridge(node))
    reader, writer = await raw(one)
    key = base64.b64encode(b"0" * 16).decode()
    writer.write(
        f"GET /ws?token=user%20ann HTTP/1.1\r\nHost: {one.address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"
        f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"deflate" not in head
    await eventually(lambda: "ann" in one.hub.users)
    writer.write(frame)
    await eventually(lambda: not one.hub.users and one._sockets.open == 0)
    writer.close()


async def test_topics_are_limited_in_all_and_those_that_linger_count(
    node: Node, stack: AsyncExitStack
) -> None:
    one = await stack.enter_async_context(bridge(node, max_topics=3, linger=60))
    ann = await connected(stack, one, "user ann")
    for n in range(3):
        await ann.subscribe(f"t{n}")
        await ann.send(op="unsubscribe", topic=f"t{n}")
    await ann.send(op="subscribe", topic="t3")
    assert (await ann.expect("error"))["code"] == "UNAVAILABLE"
    await ann.subscribe("t1")
    assert len(one.hub.feeds) == 3
    assert "t3" not in [name.decode() for name in node.broker.topics]


async def test_touching_all_the_time_does_not_reach_nsqd_each_time(node: Node, stack: AsyncExitStack) -> None:
    one = await stack.enter_async_context(bridge(node))
    await up(one)
    ann = await connected(stack, one, "user ann")
    await node.publish("mail", mail("ann"))
    seq = (await ann.message(ack=False))["seq"]
    (held,) = one.hub.user_feeds[0].desk.held
    before = held.deadline
    for _ in range(20):
        await ann.send(op="touch", seq=seq)
    await ann.send(op="ping")
    await ann.expect("pong")
    assert held.deadline == before


async def test_answers_to_nothing_do_not_make_a_deaf_browser_a_good_one(
    node: Node, stack: AsyncExitStack
) -> None:
    one = await stack.enter_async_context(
        bridge(node, ack_timeout=0.1, send_timeout=0.1, rate=10_000, burst=10_000)
    )
    await up(one)
    eve = await connected(stack, one, "user eve")
    await node.publish("mail", *[mail("eve")] * 5)

    async def pretend() -> None:
        while True:
            await eve.send(op="ack", seq=-1)
            await asyncio.sleep(0.01)

    pretending = asyncio.create_task(pretend())
    assert await eve.closed() == 4008
    pretending.cancel()
    await asyncio.wait([pretending])
    assert pretending.cancelled() or pretending.exception() is not None


async def test_handing_back_without_end_gets_slower(node: Node, stack: AsyncExitStack) -> None:
    one = await stack.enter_async_context(bridge(node, attempts=0, retry_delay=0.4))
    ann = await connected(stack, one, "user ann")
    await ann.subscribe("jobs", channel="c")
    await node.publish("jobs", b"x")
    times = []
    for _ in range(7):
        message = await ann.message(ack=False)
        times.append(asyncio.get_running_loop().time())
        await ann.send(op="nack", seq=message["seq"], delay=0)
    pauses = [after - before for before, after in pairwise(times)]
    assert max(pauses[:4]) < 0.3
    assert pauses[5] > 0.7


# ---- nothing lost


async def test_the_message_that_was_too_much_comes_again_on_the_next_connection(
    node: Node, stack: AsyncExitStack
) -> None:
    one = await stack.enter_async_context(bridge(node, max_outstanding=2, retry_delay=0.3, attempts=0))
    await up(one)
    async with Client(one, "user ann") as slow:
        await welcomed(slow)
        await node.publish("mail", *[mail("ann", str(n)) for n in range(3)])
        assert await slow.closed() == 4008
    got: set[str] = set()
    async with asyncio.timeout(10):
        while len(got) < 3:
            async with Client(one, "user ann") as ann:  # all three may come at once, which is too much again
                while len(got) < 3:
                    received = await ann.ws.receive()
                    if received.type is not aiohttp.WSMsgType.TEXT:
                        break
                    frame = json.loads(received.data)
                    if frame["type"] == "message":
                        got.add(json.loads(frame["body"])["text"])
                        await ann.send(op="ack", seq=frame["seq"])
    assert got == {"0", "1", "2"}


async def test_work_is_never_given_up_for_browsers_that_leave(node: Node, stack: AsyncExitStack) -> None:
    one = await stack.enter_async_context(bridge(node, attempts=2))
    await node.publish("jobs", b"dear")
    for _ in range(4):
        async with Client(one, "user eve") as flees:
            await welcomed(flees)
            await flees.subscribe("jobs", channel="c")
            await flees.message(ack=False)
    stays = await connected(stack, one, "user ann")
    await stays.subscribe("jobs", channel="c")
    assert (await stays.message())["attempts"] == 5
    assert one.counters.given_up_total == 0


async def test_one_message_that_can_not_be_passed_on_does_not_end_the_topic(
    node: Node, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one = await stack.enter_async_context(bridge(node))
    await up(one)
    ann = await connected(stack, one, "user ann")
    feed = one.hub.user_feeds[0]
    take = feed.take

    def fails_once(message: Any) -> None:
        monkeypatch.setattr(feed, "take", take)
        raise RuntimeError("a mistake")

    monkeypatch.setattr(feed, "take", fails_once)
    await node.publish("mail", mail("ann", "1"), mail("ann", "2"))
    assert (await ann.message())["topic"] == "mail"
    assert "a mistake" in caplog.text


async def test_nsqd_waits_longer_than_browsers_may_take_whatever_its_own_time_is(
    tmp_path: Path, stack: AsyncExitStack
) -> None:
    node = await stack.enter_async_context(Node(tmp_path, "--msg-timeout=1s"))
    one = await stack.enter_async_context(bridge(node))
    await up(one)
    ann = await connected(stack, one, "user ann")
    await node.publish("mail", mail("ann"))
    message = await ann.message(ack=False)
    await asyncio.sleep(1.5)
    await ann.send(op="ack", seq=message["seq"])
    await eventually(lambda: one.counters.acked_total == 1)
    found = (await node.stats("&topic=mail"))["topics"][0]["channels"][0]
    assert found["timeout_count"] == 0


def test_times_that_do_not_go_together_are_told() -> None:
    options = ConnectionOptions(msg_timeout=10)
    with pytest.raises(ConfigError, match="longer than ack_timeout"):
        Bridge("127.0.0.1:1", Tokens(), settings=Settings(ack_timeout=20), options=options)
    for wrong in ({"ack_timeout": 900}, {"retry_delay": 4000}, {"trusted_proxies": ("10.0.0.0/33",)}):
        with pytest.raises(ConfigError):
            Settings(**wrong)


async def test_the_client_may_be_imported_by_pages_of_other_hosts(node: Node, stack: AsyncExitStack) -> None:
    one = await stack.enter_async_context(bridge(node))
    async with aiohttp.ClientSession() as http:
        async with http.get(f"http://{one.address}/nsq.js") as script:
            assert script.headers["Access-Control-Allow-Origin"] == "*"
        async with http.get(f"http://{one.admin_address}/ping") as alive:
            assert await alive.text() == "OK"


async def test_an_address_that_is_taken_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        one = Bridge(
            "127.0.0.1:1", Tokens(), address=f"127.0.0.1:{taken.getsockname()[1]}", settings=Settings()
        )
        with pytest.raises(OSError, match="in use"):
            await one.start()
