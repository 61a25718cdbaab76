"""Permissions that end: asked for again before the next command, and of consumers that only listen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from nsqcore.wire.commands import encode_mpub, encode_pub
from nsqd.protocol.auth import RETRY_S, Auth
from tests.nsqd.protocol.test_auth import COMMANDS, FAILED, authed
from tests.support.auth_server import ALL, AuthServer, permissions
from tests.support.clock import Clock
from tests.support.nsqd import Node, RawClient, eventually

pytestmark = pytest.mark.usefixtures("quick_disk")


@pytest_asyncio.fixture
async def server() -> AsyncIterator[AuthServer]:
    async with AuthServer() as running:
        running.answers["s"] = permissions(ALL)
        yield running


@pytest_asyncio.fixture
async def node(tmp_path: Path, server: AuthServer) -> AsyncIterator[Node]:
    async with Node(tmp_path, server.flag) as running:
        yield running


async def clock_of(node: Node, client: RawClient) -> Clock:
    """Time for this client's permissions, at rest; it has to be authorised anew for its end to count."""
    auth = (await node.end_of(client))._session.auth
    assert isinstance(auth, Auth)
    clock = Clock()
    auth._loop = clock.loop
    permissions_now = auth._client.permissions
    assert permissions_now is not None
    auth.leave()
    auth._grant(permissions_now)
    return clock


@pytest.mark.parametrize("command", COMMANDS)
async def test_permissions_that_ended_are_asked_for_again_before_the_next_command(
    node: Node, server: AuthServer, command: str
) -> None:
    client = await authed(node)
    clock = await clock_of(node, client)
    clock.advance(3599.0)
    await client.pub("u", b"x")
    assert len(server.asked) == 1
    clock.advance(1.0)
    client.send(COMMANDS[command][0] + encode_pub("u", b"x"))
    await client.expect_ok(2)
    assert [a.target for a in server.asked] == [server.asked[0].target] * 2
    assert node.topic("u").message_count == 2


async def test_an_mpub_whose_permissions_end_inside_its_body_is_obeyed_once(
    node: Node, server: AuthServer
) -> None:
    client = await authed(node)
    clock = await clock_of(node, client)
    sent = encode_mpub("t", [b"one", b"two"])
    end = await node.end_of(client)
    end.data_received(sent[:20])
    clock.advance(3600.0)
    end.data_received(sent[20:25])
    end.data_received(sent[25:] + encode_pub("t", b"three"))
    await client.expect_ok(2)
    assert node.topic("t").message_count == 3
    assert len(server.asked) == 2


async def test_a_publisher_is_closed_when_they_cannot_be_had_again(node: Node, server: AuthServer) -> None:
    for answer, error in (
        ((500, b"down"), FAILED),
        (permissions(("^u", [".*"], ["publish"])), 'E_UNAUTHORIZED AUTH failed for PUB on "t" ""'),
        ({"ttl": 10}, 'E_UNAUTHORIZED AUTH failed for PUB on "t" ""'),
    ):
        server.answers["s"] = permissions(ALL)
        client = await authed(node)
        clock = await clock_of(node, client)
        server.answers["s"] = answer
        clock.advance(3600.0)
        client.send(encode_pub("t", b"x"))
        await client.refused(error)
    assert b"t" not in node.broker.topics


async def subscribed(node: Node) -> tuple[RawClient, Clock]:
    client = await authed(node)
    clock = await clock_of(node, client)
    await client.sub("t", "c")
    client.rdy(10)
    return client, clock


async def test_a_consumer_that_only_listens_is_looked_after_when_the_time_is_over(
    node: Node, server: AuthServer
) -> None:
    client, clock = await subscribed(node)
    for times in (2, 3):
        clock.advance(3600.0)
        await server.until_asked(times)
        await eventually(lambda: len(clock._timers) == 1)
    await client.settled()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((403, b"revoked"), FAILED),
        ((401, b"revoked"), FAILED),
        (permissions((".*", ["^d$"], ["subscribe"])), 'E_UNAUTHORIZED AUTH failed for SUB on "t" "c"'),
        (permissions((".*", [".*"], ["publish"])), 'E_UNAUTHORIZED AUTH failed for SUB on "t" "c"'),
        ({"ttl": 10, "authorizations": []}, 'E_UNAUTHORIZED AUTH failed for SUB on "t" "c"'),
    ],
)
async def test_a_consumer_whose_permissions_were_taken_is_closed(
    node: Node, server: AuthServer, answer: object, error: str
) -> None:
    client, clock = await subscribed(node)
    await (await authed(node)).pub("t", b"held")
    await client.message()
    server.answers["s"] = answer
    clock.advance(3600.0)
    await client.refused(error)
    await eventually(lambda: not node.channel("t", "c").clients)
    assert node.channel("t", "c").depth == 1


@pytest.mark.parametrize("answer", [(500, b"down"), (404, b"moved"), b"garbage", permissions(ALL, ttl=0)])
async def test_a_consumer_stays_while_no_server_can_be_asked(
    node: Node, server: AuthServer, answer: object, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client, clock = await subscribed(node)
    server.answers["s"] = answer
    clock.advance(3600.0)
    await server.until_asked(2)
    await eventually(lambda: len(clock._timers) == 1)
    clock.advance(2 * RETRY_S)
    await server.until_asked(3)
    await eventually(lambda: len(clock._timers) == 1)
    await client.settled()
    [line] = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert "subscribed consumers stay: failed to auth against" in line
    server.answers["s"] = (403, b"revoked")
    clock.advance(2 * RETRY_S)
    await client.refused(FAILED)
    assert "AUTH: auth servers can be asked again" in caplog.messages
    assert not any("secret=" in r.getMessage() for r in caplog.records)


async def test_a_publish_that_brings_new_permissions_may_end_a_subscription(
    node: Node, server: AuthServer
) -> None:
    client, clock = await subscribed(node)
    auth = (await node.end_of(client))._session.auth
    assert auth is not None
    auth.leave()  # its timer is late
    server.answers["s"] = permissions((".*", [".*"], ["publish"]))
    clock.advance(3600.0)
    client.send(encode_pub("u", b"x"))
    await client.refused('E_UNAUTHORIZED AUTH failed for SUB on "t" "c"')


async def test_behind_cls_nobody_is_asked(node: Node, server: AuthServer) -> None:
    client, clock = await subscribed(node)
    await client.cls()
    clock.advance(3600.0)
    await client.settled()
    assert len(server.asked) == 1
    assert not clock._timers


async def test_a_producer_that_is_idle_costs_no_queries(node: Node, server: AuthServer) -> None:
    client = await authed(node)
    clock = await clock_of(node, client)
    clock.advance(7200.0)
    await asyncio.sleep(0)
    assert len(server.asked) == 1
    assert not clock._timers


async def test_permissions_really_end(node: Node, server: AuthServer) -> None:
    server.answers["s"] = permissions(ALL, ttl=1)
    client = await authed(node)
    await client.sub("t", "c")
    await server.until_asked(2)
    server.answers["s"] = (403, b"")
    await client.refused(FAILED)
