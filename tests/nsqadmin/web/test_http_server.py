"""Answers byte by byte (but for Date and Server), and what peers that break the rules cause."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from nsqadmin.web import http_server
from nsqadmin.web.http_server import Body, Route, answer, listen, make_runner, query_of
from nsqcore.errors import HttpError, StartError

CLOSE = b"Host: x\r\nConnection: close\r\n\r\n"


async def _ping(request: web.Request) -> Body:
    return "OK"


async def _sick(request: web.Request) -> Body:
    raise HttpError(500, "NOK - disk full")


async def _query(request: web.Request) -> Body:
    return {**query_of(request)}


async def _topic(request: web.Request) -> Body:
    topic = query_of(request).get("topic", "")
    if not topic:
        raise HttpError(400, "MISSING_ARG_TOPIC")
    return topic


async def _nothing(request: web.Request) -> Body:
    return None


async def _ready(request: web.Request) -> Body:
    return b'{"made":"before"}'


async def _list(request: web.Request) -> Body:
    return ["<a>"]


async def _own(request: web.Request) -> web.StreamResponse:
    return answer("own", 201)


async def _size(request: web.Request) -> Body:
    return {"size": len(await request.read())}


async def _panic(request: web.Request) -> Body:
    raise ZeroDivisionError("of nothing")


ROUTES = [
    Route("GET", "/ping", _ping, plain=True),
    Route("GET", "/sick", _sick, plain=True),
    Route("GET", "/quiet", _ping, quiet=True),
    Route("GET", "/query", _query),
    Route("POST", "/query", _query),
    Route("POST", "/topic/create", _topic),
    Route("GET", "/nothing", _nothing),
    Route("GET", "/ready", _ready),
    Route("GET", "/list", _list),
    Route("GET", "/own", _own),
    Route("POST", "/size", _size),
    Route("GET", "/panic", _panic),
]


@pytest.fixture
async def address() -> AsyncIterator[str]:
    runner = make_runner(ROUTES, max_body_size=100)
    await runner.setup()
    yield await listen(runner, "127.0.0.1:0")
    await runner.cleanup()


async def exchange(address: str, request: bytes) -> bytes:
    """The whole answer to a request that asks for the connection to be closed."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    async with asyncio.timeout(10):
        data = await reader.read()
    writer.close()
    await writer.wait_closed()
    return data


async def ask(address: str, line: str) -> tuple[int, dict[str, str], bytes]:
    head, _, body = (await exchange(address, line.encode() + b" HTTP/1.1\r\n" + CLOSE)).partition(b"\r\n\r\n")
    status, *headers = head.decode().split("\r\n")
    named = dict(header.split(": ", 1) for header in headers)
    for varying in ("Date", "Server", "Connection", "Content-Length"):
        named.pop(varying, None)
    return int(status.split()[1]), named, body


NSQ = {"X-Nsq-Content-Type": "nsq; version=1.0"}
JSON = {**NSQ, "Content-Type": "application/json; charset=utf-8"}
TEXT = {**NSQ, "Content-Type": "text/plain; charset=utf-8"}
PLAIN = {"Content-Type": "text/plain; charset=utf-8"}


@pytest.mark.parametrize(
    ("line", "status", "headers", "body"),
    [
        ("GET /ping", 200, PLAIN, b"OK"),
        ("GET /sick", 500, PLAIN, b"NOK - disk full"),
        ("GET /quiet", 200, TEXT, b"OK"),
        ("GET /query?a=1&b=", 200, JSON, b'{"a":"1","b":""}'),
        ("GET /query?a=t#ephemeral", 200, JSON, b'{"a":"t#ephemeral"}'),
        ("GET http://elsewhere/query?a=1", 200, JSON, b'{"a":"1"}'),
        ("GET /query?a=%zz", 400, JSON, b'{"message":"INVALID_REQUEST"}'),
        ("GET /query?a=1;b=2", 400, JSON, b'{"message":"INVALID_REQUEST"}'),
        ("POST /topic/create?topic=t", 200, TEXT, b"t"),
        ("POST /topic/create?topic=", 400, JSON, b'{"message":"MISSING_ARG_TOPIC"}'),
        ("POST /topic/create", 400, JSON, b'{"message":"MISSING_ARG_TOPIC"}'),
        ("GET /nothing", 200, NSQ, b""),
        ("GET /ready", 200, JSON, b'{"made":"before"}'),
        ("GET /list", 200, JSON, b'["\\u003ca\\u003e"]'),
        ("GET /own", 201, TEXT, b"own"),
        ("GET /panic", 500, JSON, b'{"message":"INTERNAL_ERROR"}'),
        ("GET /", 404, JSON, b'{"message":"NOT_FOUND"}'),
        ("GET /ping/more", 404, JSON, b'{"message":"NOT_FOUND"}'),
        ("GET /ping%2", 404, JSON, b'{"message":"NOT_FOUND"}'),
        ("OPTIONS /elsewhere", 404, JSON, b'{"message":"NOT_FOUND"}'),
        ("POST /ping", 405, {**JSON, "Allow": "GET, OPTIONS"}, b'{"message":"METHOD_NOT_ALLOWED"}'),
        ("GET /topic/create", 405, {**JSON, "Allow": "OPTIONS, POST"}, b'{"message":"METHOD_NOT_ALLOWED"}'),
        ("DELETE /query", 405, {**JSON, "Allow": "GET, OPTIONS, POST"}, b'{"message":"METHOD_NOT_ALLOWED"}'),
        ("HEAD /ping", 405, {**JSON, "Allow": "GET, OPTIONS"}, b""),
        ("OPTIONS /ping", 200, {"Allow": "GET, OPTIONS"}, b""),
        ("OPTIONS /topic/create", 200, {"Allow": "OPTIONS, POST"}, b""),
        ("GET /PING", 301, {"Location": "/ping"}, b""),
        ("GET /ping/", 301, {"Location": "/ping"}, b""),
        ("GET /Ping/?a=%20", 301, {"Location": "/ping?a=%20"}, b""),
        ("POST /Topic/Create?topic=t", 307, {"Location": "/topic/create?topic=t"}, b""),
        ("POST /topic/create/?topic=t", 307, {"Location": "/topic/create?topic=t"}, b""),
    ],
)
async def test_an_answer_has_the_originals_status_headers_and_body(
    address: str, line: str, status: int, headers: dict[str, str], body: bytes
) -> None:
    assert await ask(address, line) == (status, headers, body)


async def test_an_empty_answer_says_that_it_is_empty(address: str) -> None:
    assert b"\r\nContent-Length: 0\r\n" in await exchange(address, b"GET /nothing HTTP/1.1\r\n" + CLOSE)


async def test_a_body_that_nobody_asked_for_is_read_and_ignored(address: str) -> None:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = b"topic=from-a-form" * 100
    first = b"POST /query?a=1 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    writer.write(first + b"GET /query?a=2 HTTP/1.1\r\n" + CLOSE)
    async with asyncio.timeout(10):
        answers = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert b'{"a":"1"}' in answers
    assert answers.endswith(b'{"a":"2"}')


def _post(size: int, *headers: bytes) -> bytes:
    lines = [b"POST /size HTTP/1.1", b"Content-Length: %d" % size, *headers]
    return b"\r\n".join(lines) + b"\r\n" + CLOSE + b"x" * size


async def test_a_body_up_to_the_limit_is_taken_and_more_is_413(address: str) -> None:
    assert (await exchange(address, _post(100))).endswith(b'{"size":100}')
    refused = await exchange(address, _post(101))
    assert refused.startswith(b"HTTP/1.1 413 ")
    assert refused.endswith(b'{"message":"BODY_TOO_BIG"}')


async def test_a_compressed_body_stays_as_it_came(address: str) -> None:
    assert (await exchange(address, _post(5, b"Content-Encoding: gzip"))).endswith(b'{"size":5}')


# ---- the log ----


async def test_each_request_is_a_line_but_for_quiet_ones(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for line in ("GET /query?a=%20b", "GET /quiet", "GET /elsewhere", "POST /ping"):
        await ask(address, line)
    texts = [record.getMessage() for record in caplog.records]
    assert [text.partition(" (127.0.0.1:")[0] for text in texts] == [
        "200 GET /query?a=%20b",
        "404 GET /elsewhere",
        "405 POST /ping",
    ]
    assert all(text.endswith("s") for text in texts), "a duration ends each"


async def test_a_panic_is_logged_with_its_reason_and_traceback(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    await ask(address, "GET /panic")
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.getMessage() == "panic in HTTP handler - of nothing"
    assert record.exc_info is not None


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"  V1IDENTIFY\n",
        b"garbage\r\n\r\n",
        b"FOO /ping HTTP/1.1\r\n\r\n",
        b"GET /ping HTTP/9.9\r\n\r\n",
        b"GET /query?a=\xff HTTP/1.1\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"POST /size HTTP/1.1\r\nContent-Length: abc\r\n\r\n",
        b"POST /size HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_what_is_not_http_is_answered_400_and_never_a_traceback(
    address: str, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert (await exchange(address, request_)).startswith(b"HTTP/1.0 400 Bad Request\r\n")
    assert [record for record in caplog.records if record.levelno > logging.INFO or record.exc_info] == []
    assert (await ask(address, "GET /ping"))[0] == 200


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"Content-Length: 50\r\n\r\nabc", id="length"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", id="chunked"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n", id="broken chunk"),
    ],
)
async def test_a_body_that_breaks_off_is_no_error_of_ours(
    rest: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    ended = asyncio.Event()
    started = asyncio.Event()

    async def handler(request: web.Request) -> Body:
        started.set()
        try:
            return {"size": len(await request.read())}
        finally:
            ended.set()

    runner = make_runner([Route("POST", "/size", handler)])
    await runner.setup()
    host, _, port = (await listen(runner, "127.0.0.1:0")).rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head, _, body = rest.partition(b"\r\n\r\n")
    async with asyncio.timeout(10):
        writer.write(b"POST /size HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
        await started.wait()
        writer.write(body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        await ended.wait()
    await runner.cleanup()
    assert [record for record in caplog.records if record.levelno > logging.INFO or record.exc_info] == []


# ---- listening ----


async def test_a_taken_port_is_said_in_the_originals_words(address: str) -> None:
    runner = make_runner(ROUTES)
    await runner.setup()
    with pytest.raises(StartError) as refused:
        await listen(runner, address)
    assert str(refused.value) == (
        f"listen ({address}) failed - listen tcp {address}: bind: address already in use"
    )
    await runner.cleanup()


async def test_who_connects_and_asks_for_nothing_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "HEAD_S", 0.2)
    runner = make_runner(ROUTES)
    await runner.setup()
    host, _, port = (await listen(runner, "127.0.0.1:0")).rpartition(":")
    for sent in (b"", b"GET /ping HTTP/1.1\r\nHost"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(sent)
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n")
    async with asyncio.timeout(10):
        await reader.readuntil(b"OK")
        with pytest.raises(TimeoutError):  # who has asked once may rest
            await asyncio.wait_for(reader.read(), 0.5)
    writer.close()
    await writer.wait_closed()
    await runner.cleanup()


async def test_a_unix_socket_is_served(tmp_path: Path) -> None:
    runner = make_runner(ROUTES)
    await runner.setup()
    path = str(tmp_path / "http.sock")
    assert await listen(runner, path) == path
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"GET /ping HTTP/1.1\r\n" + CLOSE)
    async with asyncio.timeout(10):
        assert (await reader.read()).endswith(b"\r\n\r\nOK")
    writer.close()
    await writer.wait_closed()
    await runner.cleanup()
    assert list(tmp_path.iterdir()) == []


async def test_a_unix_socket_in_no_folder_is_a_start_error(tmp_path: Path) -> None:
    runner = make_runner(ROUTES)
    await runner.setup()
    path = str(tmp_path / "nowhere" / "http.sock")
    with pytest.raises(StartError, match=r"^listen \(.*http.sock\) failed - "):
        await listen(runner, path)
    await runner.cleanup()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["", "0.0.0.0", "[::]"])
async def test_all_addresses_means_both_families_at_one_port(
    host: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    runner = make_runner(ROUTES)
    await runner.setup()
    where = await listen(runner, f"{host}:0")
    assert where.startswith("[::]:")
    port = where.rpartition(":")[2]
    for address in (f"127.0.0.1:{port}", f"::1:{port}"):
        assert (await ask(address, "GET /ping"))[0] == 200
    await runner.cleanup()
    assert "(127.0.0.1:" in caplog.messages[0], "and IPv4 peers look like themselves"
    assert "([::1]:" in caplog.messages[1]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may take any port")
async def test_a_port_of_the_system_is_refused_in_words() -> None:
    runner = make_runner(ROUTES)
    await runner.setup()
    with pytest.raises(StartError, match=r"bind: permission denied$"):
        await listen(runner, "127.0.0.1:1")
    await runner.cleanup()
