"""What a browser can't do: get in without a token, hear what is not its own, or harm anybody but itself."""

from __future__ import annotations

import asyncio
import base64
import logging
import ssl
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from nsqclient.push import Bridge, Grant, Permission, Unavailable
from tests.nsqclient.push.browsers import Client, Tokens, bridge, connected, mail, up, welcomed
from tests.support.nsqd import Node, eventually
from tests.support.tls import Authority


def coded(token: str) -> str:
    return "nsq.token." + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


# ---- tokens


async def test_a_token_may_come_in_a_header_a_subprotocol_or_the_query(
    node: Node, stack: AsyncExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    one = await stack.enter_async_context(bridge(node))
    ways: list[dict[str, Any]] = [
        {"headers": {"Authorization": "Bearer user ann"}},
        {"protocols": ("nsq.v1", coded("user ann"))},
        {"params": {"token": "user ann"}},
    ]
    for way in ways:
        client = await stack.enter_async_context(Client(one, **way))
        assert (await client.expect("welcome"))["user"] == "ann"
    assert client.ws.protocol is None
    by_protocol = await stack.enter_async_context(Client(one, **ways[1]))
    assert by_protocol.ws.protocol == "nsq.v1"
    own = [record for record in caplog.records if record.name.startswith(("nsq", "aiohttp"))]
    assert not [record for record in own if "user ann" in record.getMessage()]


@pytest.mark.parametrize("token", ["bad", "secret-" + "x" * 5000, "\u0000"])
async def test_a_bad_token_is_closed_and_never_logged(
    node: Node, stack: AsyncExitStack, caplog: pytest.LogCaptureFixture, token: str
) -> None:
    caplog.set_level(logging.DEBUG, logger="nsqclient")
    one = await stack.enter_async_context(bridge(node))
    client = await stack.enter_async_context(Client(one, token))
    assert await client.closed() == 4401
    assert token not in caplog.text
    await eventually(lambda: one.counters.closed[4401] == 1 and not one.hub.sessions)


async def test_a_connection_without_a_token_is_not_waited_for(node: Node, stack: AsyncExitStack) -> None:
    one = await stack.enter_async_context(bridge(node, auth_timeout=0.05))
    silent = await stack.enter_async_context(Client(one))
    assert await silent.closed() == 4401
    hasty = await stack.enter_async_context(Client(one))
    await hasty.send(op="subscribe", topic="t")
    assert await hasty.closed() == 4401


async def test_an_auth_service_that_is_away_is_told_from_a_refusal(node: Node, stack: AsyncExitStack) -> None:
    class Away(Tokens):
        async def check(self, token: str, *, remote_ip: str, tls: bool) -> Grant:
            raise Unavailable("no answer")

    one = await stack.enter_async_context(bridge(node, Away()))
    client = await stack.enter_async_context(Client(one, "user ann"))
    assert await client.closed() == 1013


async def test_a_connection_ends_with_its_token_unless_it_shows_another(
    node: Node, stack: AsyncExitStack
) -> None:
    tokens = Tokens()
    tokens.grants["short"] = Grant("ann", ttl=0.2)
    tokens.grants["long"] = Grant("ann", ttl=60)
    tokens.grants["other"] = Grant("bob", ttl=60)
    one = await stack.enter_async_context(bridge(node, tokens))
    ends, renews, cheats = [await connected(stack, one, "short") for _ in range(3)]
    await renews.send(op="auth", token="long")
    await renews.expect("authenticated")
    await cheats.send(op="auth", token="other")
    assert await cheats.closed() == 4401
    del tokens.grants["short"]
    assert await ends.closed() == 4401
    await renews.send(op="ping", ref="still")
    assert (await renews.expect("pong"))["ref"] == "still"


async def test_a_token_that_is_still_good_when_it_is_checked_again_goes_on(
    node: Node, stack: AsyncExitStack
) -> None:
    tokens = Tokens()
    tokens.grants["t"] = Grant("ann", (Permission("^a$", (".*",)), Permission("^b$", (".*",))), ttl=0.1)
    one = await stack.enter_async_context(bridge(node, tokens))
    ann = await connected(stack, one, "t")
    await ann.subscribe("a")
    await ann.subscribe("b")
    tokens.grants["t"] = Grant("ann", (Permission("^a$", (".*",)),), ttl=60)
    assert (await ann.expect("unsubscribed"))["topic"] == "b"
    await node.publish("a", b"x")
    assert (await ann.message())["topic"] == "a"


# ---- permissions


async def test_only_what_the_token_allows_is_heard(node: Node, stack: AsyncExitStack) -> None:
    tokens = Tokens()
    tokens.grants["t"] = Grant(
        "ann", (Permission(r"^prices\.", ("^push#ephemeral$",)), Permission("^jobs$", ("^a$",)))
    )
    one = await stack.enter_async_context(bridge(node, tokens))
    ann = await connected(stack, one, "t")
    await ann.subscribe("prices.eu")
    await ann.subscribe("jobs", channel="a")
    for refused in (
        {"topic": "secret"},
        {"topic": "jobs"},
        {"topic": "jobs", "channel": "b"},
        {"topic": "prices.eu", "channel": "a"},
        {"topic": "mail"},
    ):
        await ann.send(op="subscribe", ref="r", **refused)
        error = await ann.expect("error")
        assert (error["code"], error["ref"]) == ("FORBIDDEN", "r")


async def test_nobody_hears_the_mail_of_others_whatever_the_token_allows(
    node: Node, stack: AsyncExitStack
) -> None:
    one = await stack.enter_async_context(bridge(node))
    eve = await connected(stack, one, "user eve")
    for channel in ("", "spy", one.hub.channel, "spy#ephemeral"):
        await eve.send(op="subscribe", topic="mail", channel=channel)
        assert (await eve.expect("error"))["code"] == "FORBIDDEN"
    await eve.send(op="subscribe", topic="prices", channel=one.hub.channel)
    assert (await eve.expect("error"))["code"] == "FORBIDDEN"


# ---- pages, limits


@pytest.mark.parametrize(
    ("allowed", "origin", "welcome"),
    [
        ((), None, True),
        ((), "http://{host}", True),
        ((), "http://evil.example", False),
        ((), "null", False),
        ((), "http://[", False),
        (("https://app.example",), "https://app.example", True),
        (("https://app.example",), "http://{host}", False),
        (("*",), "http://evil.example", True),
    ],
)
async def test_only_pages_of_allowed_origins_connect(
    node: Node, stack: AsyncExitStack, allowed: tuple[str, ...], origin: str | None, welcome: bool
) -> None:
    one = await stack.enter_async_context(bridge(node, origins=allowed))
    headers = {} if origin is None else {"Origin": origin.format(host=one.address)}
    if welcome:
        await connected(stack, one, "user ann", headers=headers)
    else:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await stack.enter_async_context(Client(one, "user ann", headers=headers))
        assert refused.value.status == 403


async def test_connections_are_limited_in_all_and_per_user(node: Node, stack: AsyncExitStack) -> None:
    one = await stack.enter_async_context(bridge(node, max_connections=3, max_connections_per_user=2))
    for _ in range(2):
        await connected(stack, one, "user ann")
    third = await stack.enter_async_context(Client(one, "user ann"))
    assert await third.closed() == 4409
    await eventually(lambda: one._sockets.open == 2)
    await connected(stack, one, "user bob")
    with pytest.raises(aiohttp.WSServerHandshakeError) as full:
        await stack.enter_async_context(Client(one, "user bob"))
    assert full.value.status == 503


async def test_subscriptions_are_limited(node: Node, stack: AsyncExitStack) -> None:
    one = await stack.enter_async_context(bridge(node, max_subscriptions=2))
    ann = await connected(stack, one, "user ann")
    for topic in ("a", "b", "a"):
        await ann.subscribe(topic)
    await ann.send(op="subscribe", topic="c")
    assert (await ann.expect("error"))["code"] == "TOO_MANY"


async def test_acknowledging_much_is_not_sending_too_much(node: Node, stack: AsyncExitStack) -> None:
    one = await stack.enter_async_context(bridge(node, rate=1, burst=10))
    await up(one)
    ann = await connected(stack, one, "user ann")
    for _ in range(50):
        await node.publish("mail", mail("ann"))
        await ann.message()
    await eventually(lambda: one.counters.acked_total == 50)
    for _ in range(20):
        await ann.send(op="ack", seq=1)  # which was acknowledged before
    assert await ann.closed() == 4429


async def test_who_sends_too_much_or_too_large_is_closed(node: Node, stack: AsyncExitStack) -> None:
    one = await stack.enter_async_context(bridge(node, rate=1, burst=10, max_message=1000))
    chatty = await connected(stack, one, "user ann")
    for _ in range(20):
        await chatty.send(op="ping")
    assert await chatty.closed() == 4429
    large = await connected(stack, one, "user ann")
    await large.ws.send_str('"' + "x" * 2000 + '"')
    assert await large.closed() == 1009


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "{}", '{"op":"fly"}', '{"op":"ack"}', "[" * 5000, '{"op":"subscribe","topic":"*"}'],
)
async def test_what_is_not_the_protocol_closes_the_connection(
    node: Node, stack: AsyncExitStack, text: str
) -> None:
    one = await stack.enter_async_context(bridge(node))
    client = await connected(stack, one, "user ann")
    await client.ws.send_str(text)
    assert await client.closed() == 4400
    binary = await connected(stack, one, "user ann")
    await binary.ws.send_bytes(b"{}")
    assert await binary.closed() == 4400


async def test_answers_to_messages_that_were_never_sent_do_nothing(node: Node, stack: AsyncExitStack) -> None:
    one = await stack.enter_async_context(bridge(node))
    await up(one)
    ann = await connected(stack, one, "user ann")
    eve = await connected(stack, one, "user eve")
    await node.publish("mail", mail("ann"))
    message = await ann.message(ack=False)
    for op in ("ack", "nack", "touch"):
        await eve.send(op=op, seq=[message["seq"], -1, 10**30])
    await eve.send(op="ping")
    await eve.expect("pong")
    assert len(one.hub.user_feeds[0].desk.held) == 1
    await ann.send(op="ack", seq=message["seq"])
    await ann.send(op="ack", seq=message["seq"])
    await eventually(lambda: not one.hub.user_feeds[0].desk.held)
    assert one.counters.acked_total == 1


# ---- slowness


async def test_a_browser_that_does_not_acknowledge_is_closed_and_others_get_everything(
    node: Node, stack: AsyncExitStack
) -> None:
    one = await stack.enter_async_context(bridge(node, max_outstanding=5, max_in_flight=20))
    deaf = await connected(stack, one, "user ann")
    good = await connected(stack, one, "user bob")
    for client in (deaf, good):
        await client.subscribe("prices")
    for n in range(100):
        await node.publish("prices", b"%d" % n)
        assert (await good.message())["body"] == str(n)
    assert await deaf.closed() == 4008
    await eventually(lambda: len(one.hub.sessions) == 1)


async def test_messages_may_be_dropped_for_a_slow_browser_instead(node: Node, stack: AsyncExitStack) -> None:
    one = await stack.enter_async_context(bridge(node, max_outstanding=3, slow="drop"))
    slow = await connected(stack, one, "user ann")
    good = await connected(stack, one, "user bob")
    for client in (slow, good):
        await client.subscribe("prices")
    for n in range(10):
        await node.publish("prices", b"%d" % n)
        await good.message()
    held = [await slow.message(ack=False) for _ in range(3)]
    await slow.send(op="ack", seq=[message["seq"] for message in held])
    await eventually(lambda: not one.hub.feeds[("prices", "")].desk.held)
    await node.publish("prices", b"last")
    assert (await slow.message())["body"] == "last"
    assert (await slow.expect("dropped"))["count"] == 7


async def test_many_browsers_that_never_answer_do_not_stop_a_topic(node: Node, stack: AsyncExitStack) -> None:
    one = await stack.enter_async_context(bridge(node, max_in_flight=10, max_outstanding=100))
    await up(one)
    deaf = [await connected(stack, one, f"user deaf-{n}") for n in range(10)]
    good = await connected(stack, one, "user good")
    for n in range(100):
        await node.publish("mail", mail(f"deaf-{n % 10}"))
    await node.publish("mail", mail("good"))
    await good.message()
    assert one.counters.finished_early_total >= 90
    for client in deaf:
        for _ in range(10):
            await client.message()
    await eventually(lambda: not one.hub.user_feeds[0].desk.held)


async def test_outstanding_bytes_are_bounded(node: Node, stack: AsyncExitStack) -> None:
    one = await stack.enter_async_context(bridge(node, max_outstanding_bytes=10_000))
    await up(one)
    greedy = await connected(stack, one, "user ann")
    for _ in range(5):
        await node.publish("mail", mail("ann", "x" * 4000))
    assert await greedy.closed() == 4008


async def test_a_browser_that_reads_nothing_is_dropped_with_what_it_was_sent(
    node: Node, stack: AsyncExitStack
) -> None:
    one = await stack.enter_async_context(
        bridge(node, send_timeout=0.2, max_outstanding=10_000, max_outstanding_bytes=1 << 28)
    )
    await up(one)
    host, port = one.address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    key = base64.b64encode(b"0" * 16).decode()
    writer.write(
        f"GET /ws?token=user%20ann HTTP/1.1\r\nHost: {one.address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    await eventually(lambda: "ann" in one.hub.users)
    good = await connected(stack, one, "user bob")
    for n in range(60):
        await node.publish("mail", mail("ann", "x" * 500_000))
        if n % 10 == 0:
            await node.publish("mail", mail("bob"))
            await good.message()
    await eventually(lambda: one.counters.closed[4008] == 1)
    await eventually(lambda: "ann" not in one.hub.users and one._sockets.open == 1)
    writer.close()


async def test_browsers_connect_over_tls(node: Node, stack: AsyncExitStack, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    target = "{}:{}".format(*node.tcp)
    one = Bridge(target, Tokens(), address="127.0.0.1:0", tls=server)
    await stack.enter_async_context(one)
    client = Client(one, "user ann", ssl=authority.context())
    client.url = client.url.replace("ws:", "wss:")
    await welcomed(await stack.enter_async_context(client))


async def test_a_dead_connection_is_noticed(node: Node, stack: AsyncExitStack) -> None:
    one = await stack.enter_async_context(bridge(node, heartbeat=0.1))
    dead = await connected(stack, one, "user ann", autoping=False)
    await eventually(lambda: not one.hub.sessions)
    assert dead.ws is not None
