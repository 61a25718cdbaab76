"""Asking auth servers: forms, addresses, https, redirects, turns."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import trustme
from aiohttp import web

from nsqcore.wire.commands import encode_auth
from nsqd.auth.permissions import Permissions
from nsqd.auth.servers import MOST_QUERIES, AuthFailure, AuthServers, Question, endpoint
from nsqd.options import Options
from tests.support.auth_server import ALL, AuthServer, permissions
from tests.support.nsqd import Node, eventually

QUESTION = Question(common_name="", remote_ip="127.0.0.1", secret=b"s", tls=False)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[AuthServer]:
    async with AuthServer() as running:
        running.answers["s"] = permissions(ALL, identity="joe")
        yield running


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest_asyncio.fixture
async def secure(authority: trustme.CA) -> AsyncIterator[AuthServer]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with AuthServer(tls=context) as running:
        running.answers["s"] = permissions(ALL, identity="joe")
        yield running


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def ask(
    *addresses: str, question: Question = QUESTION, tls: ssl.SSLContext | None = None, method: str = "get"
) -> Permissions:
    options = Options(auth_http_addresses=list(addresses), auth_http_request_method=method)
    servers = AuthServers(options, (lambda: tls) if tls is not None else None)
    try:
        return await servers.ask(question)
    finally:
        await servers.close()


# -- forms -----------------------------------------------------------------------------------------


def test_the_form_of_a_get() -> None:
    question = Question("client é", "::1", b"a&b=c d/\xc3\xa9%\xff~*'()<>\"\\\x00\n", True)
    assert question.query() == (
        "common_name=client+%C3%A9&remote_ip=%3A%3A1"
        "&secret=a%26b%3Dc+d%2F%C3%A9%25%FF~%2A%27%28%29%3C%3E%22%5C%00%0A&tls=true"
    )


def test_the_form_of_a_post() -> None:
    question = Question("client é", "::1", b"a&b=c d/\xc3\xa9%\xff~*'()<>\"\\\x00\n", False)
    assert question.body() == (
        b'{"common_name":["client \xc3\xa9"],"remote_ip":["::1"],'
        b'"secret":["a\\u0026b=c d/\xc3\xa9%\\ufffd~*\'()\\u003c\\u003e\\"\\\\\\u0000\\n"],"tls":["false"]}'
    )


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1:80", "http://127.0.0.1:80/auth"),
        ("auth.example:80", "http://auth.example:80/auth"),
        ("[::1]:80", "http://[::1]:80/auth"),
        ("https://auth.example/deep/path", "https://auth.example/deep/path"),
        ("http://auth.example", "http://auth.example"),
    ],
)
def test_an_address_is_a_url_or_becomes_one(address: str, url: str) -> None:
    assert endpoint(address) == url


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/deep/path", "/deep/path?"),
        ("", "/?"),
        ("/a?x=1", "/a?x=1&"),
        ("/a?x=%26%2b+y", "/a?x=%26%2B+y&"),
        ("/ü b", "/%C3%BC%20b?"),
    ],
)
async def test_the_form_follows_the_path_and_its_query(server: AuthServer, path: str, target: str) -> None:
    await ask(f"http://{server.address}{path}")
    [asked] = server.asked
    assert asked.target == target + QUESTION.query()
    assert asked.body == b""


async def test_a_post_leaves_the_url_alone(server: AuthServer) -> None:
    await ask(f"http://{server.address}/a?x=1", method="post")
    [asked] = server.asked
    assert (asked.method, asked.target, asked.body) == ("POST", "/a?x=1", QUESTION.body())


async def test_a_connection_is_used_once(server: AuthServer) -> None:
    """A kept one may have been closed by the server, and a client would pay for it."""
    await ask(server.address)
    assert server.asked[0].headers["Connection"] == "close"


# -- which server ----------------------------------------------------------------------------------


async def test_servers_are_asked_in_turn_from_a_random_one_on(server: AuthServer) -> None:
    async with AuthServer() as broken:
        broken.answers["s"] = (500, b"")
        for _ in range(30):
            assert (await ask(server.address, broken.address)).identity == "joe"
        assert len(server.asked) == 30
        assert 0 < len(broken.asked) < 30


async def test_all_failures_are_told(server: AuthServer) -> None:
    server.answers["s"] = b"[]"
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(AuthFailure) as caught:
            await ask(server.address, closed, "http://[::1")
    assert sorted(str(caught.value).split("; ")) == sorted(
        [
            f"failed to auth against {server.address} - expected a JSON object, not list",
            f"failed to auth against {closed} - connection refused",
            "failed to auth against http://[::1 - Invalid IPv6 URL",
        ]
    )
    assert not caught.value.refused


@pytest.mark.parametrize(("status", "refused"), [(401, True), (403, True), (404, False), (500, False)])
async def test_a_no_is_not_the_same_as_no_answer(server: AuthServer, status: int, refused: bool) -> None:
    server.answers["s"] = (status, b"secret words")
    with pytest.raises(AuthFailure) as caught:
        await ask(server.address)
    assert caught.value.refused is refused
    assert "secret" not in str(caught.value)


# -- https and redirects ---------------------------------------------------------------------------


async def test_a_https_server_is_verified(secure: AuthServer, authority: trustme.CA) -> None:
    address = f"https://{secure.address}/auth"
    assert (await ask(address, tls=trusting(authority))).identity == "joe"
    for context in (None, trusting(trustme.CA())):
        with pytest.raises(AuthFailure, match=r"certificate verify failed: (self.signed|unable to get)"):
            await ask(address, tls=context)
    assert len(secure.asked) == 1


async def test_https_asked_of_a_server_without_is_told_so(server: AuthServer) -> None:
    with pytest.raises(AuthFailure, match="no TLS: "):
        await ask(f"https://{server.address}/auth")


async def test_the_daemon_verifies_by_its_root_ca_file(
    tmp_path: Path, secure: AuthServer, authority: trustme.CA
) -> None:
    (tmp_path / "queue").mkdir()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    address = f"--auth-http-address=https://{secure.address}/auth"
    for more, answer in (((f"--tls-root-ca-file={tmp_path / 'ca.pem'}",), b"joe"), ((), b"E_AUTH_FAILED")):
        async with Node(tmp_path / "queue", address, *more) as node:
            client = await node.connect()
            client.send(encode_auth(b"s"))
            assert answer in (await client.frame())[1]


@pytest.mark.parametrize("method", ["get", "post"])
async def test_a_server_may_send_us_to_its_https_port(
    server: AuthServer, secure: AuthServer, authority: trustme.CA, method: str
) -> None:
    server.answers["s"] = (403, {"message": "TLS_REQUIRED", "https_port": secure.port})
    assert (await ask(server.address, tls=trusting(authority), method=method)).identity == "joe"
    [first], [second] = server.asked, secure.asked
    assert (first.method, first.target, first.body) == (second.method, second.target, second.body)


async def test_redirects_are_followed(server: AuthServer, secure: AuthServer, authority: trustme.CA) -> None:
    location = f"https://{secure.address}/auth?{QUESTION.query()}"
    server.answers["s"] = web.Response(status=302, headers={"Location": location})
    assert (await ask(server.address, tls=trusting(authority))).identity == "joe"


async def test_redirects_in_a_circle_end(server: AuthServer) -> None:
    server.answers["s"] = web.Response(
        status=302, headers={"Location": f"http://{server.address}/auth?{QUESTION.query()}"}
    )
    with pytest.raises(AuthFailure):
        await ask(server.address)


# -- turns -----------------------------------------------------------------------------------------


async def test_only_so_many_queries_are_under_way(server: AuthServer) -> None:
    count = MOST_QUERIES + 20
    for n in range(count):
        server.answers[f"s{n}"] = permissions(ALL, identity=f"{n}")
    servers = AuthServers(Options(auth_http_addresses=[server.address]))
    server.answering.clear()
    asking = [asyncio.create_task(servers.ask(QUESTION._replace(secret=b"s%d" % n))) for n in range(count)]
    await server.until_asked(MOST_QUERIES)
    asking[0].cancel()  # who gives up makes room
    asking[-1].cancel()
    await server.until_asked(MOST_QUERIES + 1)
    server.answering.set()
    answers = await asyncio.gather(*asking[1:-1])
    assert [answer.identity for answer in answers] == [str(n) for n in range(1, count - 1)]
    assert len(server.asked) == count - 1
    await servers.close()


async def test_who_asks_the_same_behind_one_that_gave_up_is_answered(server: AuthServer) -> None:
    servers = AuthServers(Options(auth_http_addresses=[server.address]))
    server.answering.clear()
    first = asyncio.create_task(servers.ask(QUESTION))
    await server.until_asked(1)
    first.cancel()
    await asyncio.sleep(0)
    second = asyncio.create_task(servers.ask(QUESTION))
    await server.until_asked(2)
    server.answering.set()
    assert (await second).identity == "joe"
    assert first.cancelled()
    await eventually(lambda: not servers._shared)
    await servers.close()


async def test_closing_ends_what_is_under_way(server: AuthServer) -> None:
    servers = AuthServers(Options(auth_http_addresses=[server.address]))
    server.answering.clear()
    asking = asyncio.create_task(servers.ask(QUESTION))
    await server.until_asked(1)
    await servers.close()
    with pytest.raises(asyncio.CancelledError):
        await asking
