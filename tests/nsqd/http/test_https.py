"""HTTPS: the whole API through TLS, and the plain port where TLS is required."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from nsqd.http import https
from tests.support.nsqd import Node, RawHttp, eventually
from tests.support.tls import V12, V13, Authority, TlsClient

pytestmark = pytest.mark.usefixtures("quick_disk")


@pytest_asyncio.fixture
async def node(tmp_path: Path, authority: Authority) -> AsyncIterator[Node]:
    async with Node(tmp_path, *authority.flags) as running:
        yield running


@pytest_asyncio.fixture
async def browser(node: Node, authority: Authority) -> RawHttp:
    """A client behind its handshake."""
    return await secure(node, authority.client())


async def secure(node: Node, tls: TlsClient) -> RawHttp:
    client = await node.connect_http(tls=True)
    await tls.shake(client)
    return client


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


# -- the API ---------------------------------------------------------------------------------------


async def test_one_connection_serves_requests_of_every_kind(node: Node, browser: RawHttp) -> None:
    for _ in range(2):
        assert (await browser.request("GET", "/ping")).body == b"OK"
        assert (await browser.request("POST", "/pub?topic=t", b"x")).body == b"OK"
        assert (await browser.request("POST", "/mpub?topic=t", b"1\n2")).body == b"OK"
        stats = json.loads((await browser.request("GET", "/stats?format=json")).body)
        assert stats["topics"][0]["topic_name"] == "t"
        assert (await browser.request("GET", "/nope")).status == 404
    assert node.topic("t").depth == 6


async def test_the_lane_keeps_the_connection_of_publishers(node: Node, browser: RawHttp) -> None:
    for _ in range(3):
        assert (await browser.request("POST", "/pub?topic=t", b"x")).body == b"OK"
    assert len(node.lanes.open) == 1


@pytest.mark.parametrize("version", [V12, V13])
async def test_pipelined_publishes_are_answered_in_order(
    node: Node, authority: Authority, version: ssl.TLSVersion
) -> None:
    client = await secure(node, authority.client(version=version))
    one = b"POST /pub?topic=t HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
    client.send(one * 300)
    for _ in range(300):
        assert (await client.answer()).body == b"OK"
    assert node.topic("t").depth == 300


@pytest.mark.parametrize("size", [16_384, 16_385, 1 << 20])
async def test_large_bodies_arrive_whole(
    node: Node, authority: Authority, browser: RawHttp, size: int
) -> None:
    body = bytes(n % 251 for n in range(1000)) * (size // 1000 + 1)
    assert (await browser.request("POST", "/pub?topic=t", body[:size])).body == b"OK"
    client = await node.connect()
    await client.sub("t", "c")
    client.rdy(1)
    assert (await client.message()).body == body[:size]


async def test_a_large_answer_arrives_whole(tmp_path: Path, authority: Authority) -> None:
    async with Node(tmp_path, *authority.flags) as node:
        for n in range(500):
            await node.request("POST", f"/topic/create?topic=topic{n}")
        client = await secure(node, authority.client())
        stats = json.loads((await client.request("GET", "/stats?format=json")).body)
        assert len(stats["topics"]) == 500


async def test_a_request_may_come_byte_by_byte(node: Node, authority: Authority) -> None:
    tls = authority.client()
    client = await secure(node, tls)
    records = tls.encode(b"POST /pub?topic=t HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
    for byte in records:
        client.transport.write(bytes([byte]))
        await asyncio.sleep(0)
    assert (await client.answer()).body == b"OK"


async def test_a_client_that_wants_it_closed_gets_its_answer_and_close_notify(
    node: Node, authority: Authority
) -> None:
    tls = authority.client()
    client = await secure(node, tls)
    client.send(b"POST /pub?topic=t HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx")
    assert (await client.answer()).body == b"OK"
    await client.until(lambda: client.ended)
    assert tls.ended


@pytest.mark.parametrize("path", ["/pub?topic=t", "/ping"])
async def test_close_notify_behind_a_request_does_not_cost_the_answer(
    node: Node, authority: Authority, path: str
) -> None:
    tls = authority.client()
    client = await secure(node, tls)
    method = "GET" if path == "/ping" else "POST"
    data = tls.encode(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx".encode())
    client.transport.write(data + tls.end())
    assert (await client.answer()).body == b"OK"
    await client.until(lambda: client.ended)


# -- client certificates ---------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["require", "require-verify"])
@pytest.mark.parametrize("certificate", [False, True])
async def test_the_policy_is_that_of_tcp(
    tmp_path: Path, authority: Authority, policy: str, certificate: bool, caplog: pytest.LogCaptureFixture
) -> None:
    flags = [*authority.flags, authority.ca_flag, f"--tls-client-auth-policy={policy}"]
    async with Node(tmp_path, *flags) as node:
        if certificate:
            client = await secure(node, authority.client(authority.certificate(), V12))
            assert (await client.request("GET", "/ping")).body == b"OK"
        else:
            with pytest.raises(ssl.SSLError):
                await secure(node, authority.client(version=V12))
            (line,) = warnings_of(caplog)
            assert line.startswith("http: TLS handshake error from 127.0.0.1:")
            assert line.endswith(": tls: client didn't provide a certificate")


# -- handshakes that fail --------------------------------------------------------------------------


@pytest.mark.parametrize("request_line", ["GET /ping", "POST /pub?topic=t", "PUT /x", "HEAD /", "OPTIONS /"])
async def test_plain_http_is_told_in_plain_words(
    node: Node, request_line: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = await node.connect_http(tls=True)
    client.send(f"{request_line} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    text = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
    assert await client.read(len(text)) == text
    await client.closed()
    (line,) = warnings_of(caplog)
    assert line.endswith(": tls: first record does not look like a TLS handshake")


@pytest.mark.parametrize("data", [b"  V2\n", b"\0" * 100, b"\x16\x03\x01\x00\x04\x01\x00\x00\x00"])
async def test_garbage_is_closed_with_one_log_line(
    node: Node, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    client = await node.connect_http(tls=True)
    client.send(data)
    await client.until(lambda: client.ended)
    assert len(warnings_of(caplog)) == 1
    assert bytes(client.buffer[:1]) in (b"", b"\x15"), "nothing, or an alert"


async def test_a_silent_client_is_cut_off(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(https, "HANDSHAKE_S", 0.05)
    client = await node.connect_http(tls=True)
    await client.closed()
    (line,) = warnings_of(caplog)
    assert line.endswith(": i/o timeout")


async def test_a_client_that_goes_away_is_forgotten(node: Node) -> None:
    client = await node.connect_http(tls=True)
    handshakes = node.nsqd._handshakes
    assert handshakes is not None
    await eventually(lambda: len(handshakes.open) == 1)
    client.drop()
    await eventually(lambda: not handshakes.open)


async def test_half_open_handshakes_and_idle_connections_do_not_delay_the_exit(
    node: Node, authority: Authority
) -> None:
    clients = [await node.connect_http(tls=True) for _ in range(5)]
    for client in clients:
        client.send(b"\x16\x03\x01")
    clients.append(await secure(node, authority.client()))
    used = await secure(node, authority.client())
    await used.request("GET", "/ping")
    async with asyncio.timeout(1.5):
        await node.stop()
    for client in (*clients, used):
        await client.until(lambda client=client: client.ended)  # type: ignore[misc]


# -- the plain port --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ping"),
        ("POST", "/pub?topic=t"),
        ("POST", "/mpub?topic=t"),
        ("GET", "/nope"),
        ("OPTIONS", "/pub"),
    ],
)
@pytest.mark.parametrize("with_https", [True, False])
async def test_where_tls_is_required_plain_http_tells_where_to_go(
    tmp_path: Path, authority: Authority, method: str, path: str, with_https: bool
) -> None:
    flags = ["--tls-required=true"] if with_https else ["--tls-required=true", "--https-address="]
    async with Node(tmp_path, *authority.flags, *flags) as node:
        client = await node.connect_http()
        for _ in range(2):
            answer = await client.request(method, path, b"x" if method == "POST" else None)
            port = node.https[1] if with_https else 0
            assert answer.status == 403
            assert answer.body == b'{"message": "TLS_REQUIRED", "https_port": %d}' % port
            assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
            assert answer.headers["X-Nsq-Content-Type"] == "nsq; version=1.0"
        assert not node.broker.topics


async def test_where_tls_is_required_https_serves(tmp_path: Path, authority: Authority) -> None:
    async with Node(tmp_path, *authority.flags, "--tls-required=true") as node:
        client = await secure(node, authority.client())
        assert (await client.request("POST", "/pub?topic=t", b"x")).body == b"OK"


async def test_tcp_https_leaves_the_plain_port_open(tmp_path: Path, authority: Authority) -> None:
    async with Node(tmp_path, *authority.flags, "--tls-required=tcp-https") as node:
        assert (await node.request("POST", "/pub?topic=t", b"x")).body == b"OK"
        assert (await node.request("GET", "/ping")).body == b"OK"


async def test_https_alone_can_be_served(tmp_path: Path, authority: Authority) -> None:
    async with Node(tmp_path, *authority.flags, "--http-address=") as node:
        client = await secure(node, authority.client())
        info = json.loads((await client.request("GET", "/info")).body)
        assert info["http_port"] == -1 or info["http_port"] == 0


async def test_without_a_certificate_there_is_no_https(tmp_path: Path) -> None:
    async with Node(tmp_path) as node:
        assert set(node.nsqd._listeners) == {"TCP", "HTTP"}
