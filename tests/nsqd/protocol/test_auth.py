"""AUTH over the wire: nsqd, a real auth server, and clients."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from nsqcore.wire.commands import encode_auth, encode_dpub, encode_mpub, encode_pub, encode_sub
from tests.support.auth_server import ALL, AuthServer, permissions
from tests.support.clock import Clock
from tests.support.nsqd import Node, RawClient, eventually
from tests.support.tls import V13, Authority, upgraded

pytestmark = pytest.mark.usefixtures("quick_disk")

OK_ALL = b'{"identity":"","identity_url":"","permission_count":1}'
FAILED = "E_AUTH_FAILED AUTH failed"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[AuthServer]:
    async with AuthServer() as running:
        running.answers["s"] = permissions(ALL)
        yield running


@pytest_asyncio.fixture
async def node(tmp_path: Path, server: AuthServer) -> AsyncIterator[Node]:
    async with Node(tmp_path, server.flag) as running:
        yield running


def reset(client: RawClient) -> None:
    """Ends a connection so that nsqd knows at once that nobody listens any more."""
    client.transport.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    client.drop()


async def authed(node: Node, secret: bytes = b"s") -> RawClient:
    """A client that has its permissions."""
    client = await node.connect()
    client.send(encode_auth(secret))
    kind, data = await client.frame()
    assert (kind, json.loads(data)["permission_count"] > 0) == (0, True)
    return client


# -- AUTH ------------------------------------------------------------------------------------------


async def test_auth_is_answered_with_identity_and_count(node: Node, server: AuthServer) -> None:
    server.answers["secret"] = permissions(ALL, ALL, identity="joe", identity_url="http://j?a=1&b=<2>")
    client = await node.connect()
    client.send(encode_auth(b"secret"))
    await client.expect(
        b'{"identity":"joe","identity_url":"http://j?a=1\\u0026b=\\u003c2\\u003e","permission_count":2}'
    )
    await client.pub("t", b"x")
    [stats] = (await node.stats())["producers"]
    assert (stats["authed"], stats["auth_identity"]) == (True, "joe")
    assert stats["auth_identity_url"] == "http://j?a=1&b=<2>"
    keys = list(stats)
    assert keys[keys.index("user_agent") + 1 :][:4] == [
        "authed",
        "auth_identity",
        "auth_identity_url",
        "topology_zone",
    ]


async def test_stats_leave_out_empty_identities_and_those_who_are_not_authorised(node: Node) -> None:
    client = await authed(node)
    await client.pub("t", b"x")
    [stats] = (await node.stats())["producers"]
    assert stats["authed"] is True
    assert not {"auth_identity", "auth_identity_url"} & set(stats)


async def test_identify_tells_that_auth_is_required(node: Node) -> None:
    client = await node.connect()
    assert (await client.identify())["auth_required"] is True


async def test_the_server_is_told_who_asks(node: Node, server: AuthServer) -> None:
    server.answers["a&b=c d/\xe9%~*"] = permissions(ALL)
    await authed(node, "a&b=c d/é%~*".encode("latin-1"))
    [asked] = server.asked
    assert asked.method == "GET"
    assert asked.target == (
        "/auth?common_name=&remote_ip=127.0.0.1&secret=a%26b%3Dc+d%2F%E9%25~%2A&tls=false"
    )
    assert asked.headers["Accept"] == "application/vnd.nsq; version=1.0"


async def test_post_tells_the_same_as_json(tmp_path: Path, server: AuthServer) -> None:
    server.answers["<&>"] = permissions(ALL)
    async with Node(tmp_path, server.flag, "--auth-http-request-method=post") as node:
        await authed(node, b"<&>")
    [asked] = server.asked
    assert (asked.method, asked.target) == ("POST", "/auth")
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.body == (
        b'{"common_name":[""],"remote_ip":["127.0.0.1"],"secret":["\\u003c\\u0026\\u003e"],"tls":["false"]}'
    )


async def test_the_server_is_told_of_tls_and_the_certificate(tmp_path: Path, server: AuthServer) -> None:
    for folder in ("queue", "authority"):
        (tmp_path / folder).mkdir()
    authority = Authority(tmp_path / "authority")
    flags = [*authority.flags, authority.ca_flag, "--tls-client-auth-policy=require-verify"]
    async with Node(tmp_path / "queue", server.flag, *flags) as node:
        client = await upgraded(node, authority.client(authority.certificate("joe"), V13))
        client.send(encode_auth(b"s"))
        await client.expect(OK_ALL)
    assert server.asked[0].target == "/auth?common_name=joe&remote_ip=127.0.0.1&secret=s&tls=true"


async def test_the_http_api_is_open_to_all(node: Node) -> None:
    assert (await node.request("POST", "/pub?topic=free", b"x")).status == 200


BAD: dict[str, object] = {
    "an error": (500, {"message": "x"}),
    "a refusal": (403, {"message": "x"}),
    "an empty answer": (204, b""),
    "no JSON": b"nope",
    "a list": [],
    "a text": "joe",
    "a ttl of text": {"ttl": "10"},
    "a ttl of none": permissions(ALL, ttl=0),
    "a ttl below none": permissions(ALL, ttl=-1),
    "an unknown permission": permissions((".*", [".*"], ["admin"])),
    "a broken pattern of topics": permissions(("(", [".*"], ["publish"])),
    "a broken pattern of channels": permissions((".*", ["["], ["publish"])),
    "a pattern of another dialect": permissions(("(?=a)", [".*"], ["publish"])),
    "very much": b" " * (6 << 20),
}


@pytest.mark.parametrize("answer", BAD.values(), ids=BAD.keys())
async def test_whatever_is_no_answer_fails_the_auth(node: Node, server: AuthServer, answer: object) -> None:
    server.answers["bad"] = answer
    client = await node.connect()
    client.send(encode_auth(b"bad") + encode_pub("t", b"x"))
    await client.refused(FAILED)
    assert b"t" not in node.broker.topics


@pytest.mark.parametrize("nothing", [[], None])
async def test_no_authorizations_are_told_apart(node: Node, server: AuthServer, nothing: object) -> None:
    server.answers["n"] = {"ttl": 10, "authorizations": nothing}
    client = await node.connect()
    client.send(encode_auth(b"n"))
    await client.refused("E_UNAUTHORIZED AUTH no authorizations found")


async def test_auth_cannot_be_repeated(node: Node) -> None:
    client = await authed(node)
    client.send(encode_auth(b"s"))
    await client.refused("E_INVALID AUTH already set")


# -- permissions -----------------------------------------------------------------------------------

COMMANDS: dict[str, tuple[bytes, str]] = {
    "PUB": (encode_pub("t1", b"x"), ""),
    "MPUB": (encode_mpub("t1", [b"x"]), ""),
    "DPUB": (encode_dpub("t1", 0, b"x"), ""),
    "SUB": (encode_sub("t1", "c"), "c"),
}


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_command_needs_auth_first(node: Node, command: str) -> None:
    client = await node.connect()
    client.send(COMMANDS[command][0])
    await client.refused(f"E_AUTH_FIRST AUTH required before {command}")
    assert not node.broker.topics


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_command_that_is_allowed_is_obeyed(node: Node, server: AuthServer, command: str) -> None:
    permission = "subscribe" if command == "SUB" else "publish"
    server.answers["one"] = permissions(("^t", ["^c?$"], [permission]))
    client = await authed(node, b"one")
    client.send(COMMANDS[command][0])
    await client.expect_ok()


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_command_that_is_not_allowed_is_refused(node: Node, server: AuthServer, command: str) -> None:
    permission = "publish" if command == "SUB" else "subscribe"
    server.answers["other"] = permissions(("^t", [".*"], [permission]))
    client = await authed(node, b"other")
    sent, channel = COMMANDS[command]
    client.send(sent)
    await client.refused(f'E_UNAUTHORIZED AUTH failed for {command} on "t1" "{channel}"')
    assert not node.broker.topics


async def test_mpub_is_refused_before_its_body_and_pub_behind_it(node: Node, server: AuthServer) -> None:
    server.answers["u"] = permissions(("^u", [".*"], ["publish"]))
    for sent in (b"MPUB t\n", b"PUB t\n\0\0\0\1x", b"DPUB t 0\n\0\0\0\1x"):
        client = await authed(node, b"u")
        client.send(sent)
        await client.refused(f'E_UNAUTHORIZED AUTH failed for {sent.split()[0].decode()} on "t" ""')
    for sent, error in (
        (b"PUB t\n\0\0\0\0", "E_BAD_MESSAGE PUB invalid message body size 0"),
        (b"PUB a/b\n", 'E_BAD_TOPIC PUB topic name "a/b" is not valid'),
        (b"SUB t c/d\n", 'E_BAD_CHANNEL SUB channel name "c/d" is not valid'),
        (b"DPUB t x\n", "E_INVALID DPUB could not parse timeout x"),
    ):
        client = await authed(node, b"u")
        client.send(sent)
        await client.refused(error)


async def test_a_long_run_of_publishes_is_refused_as_a_whole(node: Node, server: AuthServer) -> None:
    server.answers["t"] = permissions(("^t$", [".*"], ["publish"]))
    client = await authed(node, b"t")
    client.send(encode_pub("t", b"x") * 50 + encode_pub("u", b"x") * 50)
    await client.expect_ok(50)
    await client.refused('E_UNAUTHORIZED AUTH failed for PUB on "u" ""')


# -- while the server is asked ---------------------------------------------------------------------


async def test_commands_behind_auth_wait_for_it_and_others_are_served(node: Node, server: AuthServer) -> None:
    ready = await authed(node)
    server.answering.clear()
    client = await node.connect()
    client.send(encode_auth(b"s") + encode_pub("t", b"1") + encode_mpub("t", [b"2", b"3"]) + b"BOGUS\n")
    await server.until_asked(2)
    await ready.pub("other", b"x")
    assert not client.buffer
    server.answering.set()
    await client.expect(OK_ALL)
    await client.expect_ok(2)
    await client.refused("E_INVALID invalid command BOGUS")


async def test_heartbeats_go_on_while_the_server_is_asked(node: Node, server: AuthServer) -> None:
    """And who waits for the server longer than two intervals is not taken for dead."""
    client = await node.connect()
    await client.identify(heartbeat_interval=1000)
    clock = Clock()
    connection = await node.end_of(client)
    connection._loop, connection._now = clock.loop, clock.loop.time
    connection._beat_every(1.0)
    server.answering.clear()
    client.send(encode_auth(b"s"))
    await server.until_asked(1)
    for _ in range(5):
        clock.advance(1.0)
        await client.expect_heartbeat()
    server.answering.set()
    await client.expect(OK_ALL)
    clock.advance(1.0)
    await client.expect_heartbeat()
    clock.advance(1.0)
    await client.closed()


async def test_a_client_that_leaves_meanwhile_takes_its_query_along(
    node: Node, server: AuthServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.answering.clear()
    client = await node.connect()
    client.send(encode_auth(b"s") + encode_pub("t", b"x"))
    await server.until_asked(1)
    servers = node.nsqd._auth_servers
    assert servers is not None
    reset(client)
    await eventually(lambda: not servers._shared)
    server.answering.set()
    await eventually(lambda: server._waiting == 0)
    assert b"t" not in node.broker.topics
    assert not [r for r in caplog.records if r.levelname == "ERROR" and "reset by peer" not in r.getMessage()]


async def test_a_client_that_only_ended_its_side_gets_its_answer(node: Node, server: AuthServer) -> None:
    server.answering.clear()
    client = await node.connect()
    client.send(encode_auth(b"s") + encode_pub("t", b"x"))
    client.send_eof()
    await server.until_asked(1)
    server.answering.set()
    await client.expect(OK_ALL)
    await client.expect_ok()
    await client.closed()


async def test_the_daemon_ends_while_a_server_is_asked(tmp_path: Path, server: AuthServer) -> None:
    async with Node(tmp_path, server.flag) as node:
        server.answering.clear()
        client = await node.connect()
        client.send(encode_auth(b"s"))
        await server.until_asked(1)
        await node.stop()
        await client.closed()


async def test_clients_with_the_same_secret_share_a_query(node: Node, server: AuthServer) -> None:
    server.answering.clear()
    server.answers["other"] = permissions(ALL)
    clients = [await node.connect() for _ in range(50)]
    for client in clients:
        client.send(encode_auth(b"s"))
    other = await node.connect()
    other.send(encode_auth(b"other"))
    await server.until_asked(2)
    servers = node.nsqd._auth_servers
    assert servers is not None
    await eventually(lambda: sum(shared.waiting for shared in servers._shared.values()) == 51)
    reset(clients[0])
    await eventually(lambda: sum(shared.waiting for shared in servers._shared.values()) == 50)
    server.answering.set()
    for client in [*clients[1:], other]:
        await client.expect(OK_ALL)
    assert len(server.asked) == 2


# -- servers that are away -------------------------------------------------------------------------


def closed_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


async def test_one_of_many_servers_is_enough(tmp_path: Path, server: AuthServer) -> None:
    dead = [f"--auth-http-address=127.0.0.1:{closed_port()}" for _ in range(3)]
    async with Node(tmp_path, *dead, server.flag) as node:
        for _ in range(5):
            await authed(node)


async def test_the_log_tells_why_each_server_failed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ports = [closed_port(), closed_port()]
    async with Node(tmp_path, *(f"--auth-http-address=127.0.0.1:{port}" for port in ports)) as node:
        client = await node.connect()
        client.send(encode_auth(b"hush"))
        await client.refused(FAILED)
    lines = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    [line] = [line for line in lines if "PROTOCOL(V2)" in line]
    for port in ports:
        assert f"failed to auth against 127.0.0.1:{port} - connection refused" in line
    assert "; " in line
    assert "hush" not in caplog.text


async def test_a_server_that_does_not_answer_costs_its_time_only(tmp_path: Path, server: AuthServer) -> None:
    server.answering.clear()
    async with Node(tmp_path, server.flag, "--http-client-request-timeout=200ms") as node:
        client = await node.connect()
        client.send(encode_auth(b"s"))
        await client.refused(FAILED)


async def test_a_length_of_auth_that_is_wrong_is_told_before_anybody_is_asked(
    node: Node, server: AuthServer
) -> None:
    client = await node.connect()
    client.send(b"AUTH\n" + struct.pack(">i", 0))
    await client.refused("E_BAD_BODY AUTH invalid body size 0")
    assert not server.asked
