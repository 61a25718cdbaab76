"""Connections of the API's server: halves, floods, silence and the end, over real sockets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from nsqcore import http_connection
from nsqcore.api_server import Api, Endpoint, params_of, query_of
from nsqcore.errors import HttpError
from nsqcore.http_connection import HttpServer
from nsqcore.http_exchange import Body, Request
from nsqcore.http_request_body import MOST_UNREAD
from nsqcore.wire.http_head import MAX_HEAD
from tests.support.nsqd import eventually
from tests.support.raw import DEADLINE_S, RawHttp

LIMIT = 1000


class Served:
    """A server, and what its handlers do on command."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.begun = 0
        self.ended: list[str] = []
        api = Api(
            [
                Endpoint("GET", "/ping", self.ping, plain=True),
                Endpoint("GET", "/wait", self.wait),
                Endpoint("GET", "/large", self.large),
                Endpoint("GET", "/panic", self.panic),
                Endpoint("GET", "/until", self.until_hung_up),
                Endpoint("POST", "/size", self.size),
                Endpoint("POST", "/params", self.params),
                Endpoint("POST", "/unread", self.unread),
            ]
        )
        self.server = HttpServer(api.respond)
        self.clients: list[RawHttp] = []

    async def start(self) -> None:
        self._accepting = await asyncio.get_running_loop().create_server(self.server, "127.0.0.1", 0)

    async def connect(self) -> RawHttp:
        client = await RawHttp.open(self._accepting.sockets[0].getsockname())
        self.clients.append(client)
        return client

    async def stop(self) -> None:
        self._accepting.close()
        await self.server.close()
        for client in self.clients:
            client.drop()

    async def ping(self, request: Request) -> Body:
        return "OK"

    async def wait(self, request: Request) -> Body:
        self.begun += 1
        await self.go.wait()
        return "waited"

    async def large(self, request: Request) -> Body:
        self.begun += 1
        return b'"' + b"x" * 4_000_000 + b'"'

    async def panic(self, request: Request) -> Body:
        raise ZeroDivisionError("of nothing")

    async def until_hung_up(self, request: Request) -> Body:
        self.begun += 1
        await request.body.hung_up(60)
        self.ended.append("until")
        return "hung up"

    async def size(self, request: Request) -> Body:
        return str(len(await request.body.read(LIMIT, HttpError(413, "TOO_BIG"))))

    async def params(self, request: Request) -> Body:
        return dict(await params_of(request))

    async def unread(self, request: Request) -> Body:
        query_of(request)
        return "unread"


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    made = Served()
    await made.start()
    yield made
    await made.stop()


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: h", *headers, "", ""]).encode()


def post(path: str, body: bytes, *headers: str, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    lines = [f"POST {path} HTTP/1.1", "Host: h", f"Content-Length: {size}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def chunks(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


# -- answers arrive --------------------------------------------------------------------------------


@pytest.mark.parametrize("request_bytes", [get("/ping"), post("/size", b"abc"), chunks("/size", b"3\r\nabc\r\n0\r\n\r\n")])  # fmt: skip
async def test_a_client_that_sends_no_more_gets_its_answer(served: Served, request_bytes: bytes) -> None:
    client = await served.connect()
    client.send(request_bytes)
    client.send_eof()
    assert (await client.answer()).status == 200
    await client.closed()


async def test_a_client_that_sends_no_more_gets_a_late_answer_and_those_behind_it(served: Served) -> None:
    client = await served.connect()
    client.send(get("/wait") + get("/ping") + get("/ping"))
    client.send_eof()
    await eventually(lambda: served.begun == 1)
    served.go.set()
    assert [(await client.answer()).body for _ in range(3)] == [b"waited", b"OK", b"OK"]
    await client.closed()


async def test_pipelined_requests_are_answered_in_order_however_they_are_cut(served: Served) -> None:
    stream = (
        get("/ping") + post("/size", b"ab") + b"\r\n" + chunks("/size", b"1\r\na\r\n0\r\n\r\n") + get("/x")
    )
    for size in (1, 7, len(stream)):
        client = await served.connect()
        for at in range(0, len(stream), size):
            client.send(stream[at : at + size])
            await asyncio.sleep(0)
        assert [(await client.answer()).status for _ in range(4)] == [200, 200, 200, 404]


async def test_a_client_that_takes_no_answers_is_not_served_more(served: Served) -> None:
    client = await served.connect()
    client.transport.pause_reading()
    client.send(get("/large") * 20)
    await eventually(lambda: served.begun >= 1)
    for _ in range(20):
        await (await served.connect()).request("GET", "/ping")
    assert served.begun < 20
    client.transport.resume_reading()
    for _ in range(20):
        assert len((await client.answer()).body) == 4_000_002


async def test_a_handler_that_fails_costs_only_its_request(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    client = await served.connect()
    answer = await client.request("GET", "/panic")
    assert (answer.status, answer.body) == (500, b'{"message":"INTERNAL_ERROR"}')
    assert "panic in HTTP handler - of nothing" in caplog.text
    assert (await client.request("GET", "/ping")).body == b"OK"


# -- bodies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "status", "goes_on"),
    [
        (post("/size", b"x" * LIMIT), 200, True),
        (post("/size", b"x" * (LIMIT + 1)), 413, True),
        (post("/size", b"", length=LIMIT + 1), 413, None),
        (post("/size", b"x", length=MOST_UNREAD + 2), 413, False),
        (post("/size", b"", length=1 << 62), 413, False),
        (chunks("/size", b"3e8\r\n" + b"x" * LIMIT + b"\r\n0\r\n\r\n"), 200, True),
        (chunks("/size", b"3e9\r\n" + b"x" * (LIMIT + 1) + b"\r\n0\r\n\r\n"), 413, True),
        (chunks("/size", b"80000\r\n" + b"x" * 0x80000), 413, False),
        (chunks("/size", b"x\r\n"), 500, False),
        (chunks("/params?a=1", b"x\r\n"), 400, False),
        (chunks("/unread", b"x\r\n"), 200, False),
        (post("/params?a=1", b"x" * 300_000), 200, True),
        (post("/unread", b"x" * 1000), 200, True),
        (post("/unread", b"", length=MOST_UNREAD + 1), 200, False),
        (post("/size", b"", "Expect: 100-continue", length=LIMIT + 1), 413, False),
        (post("/unread", b"", "Expect: 100-continue", length=1), 200, False),
        (post("/size", b"x", "Expect: more"), 417, False),
    ],
)
async def test_a_body_is_read_refused_or_thrown_away(
    served: Served, sent: bytes, status: int, goes_on: bool | None
) -> None:
    client = await served.connect()
    client.send(sent)
    answer = await client.answer()
    assert answer.status == status
    assert ("Connection" in answer.headers) is (goes_on is False)
    if goes_on:
        assert (await client.request("GET", "/ping")).body == b"OK"
    elif goes_on is False:
        await client.closed()


async def test_a_client_that_keeps_its_body_back_is_asked_for_it(served: Served) -> None:
    client = await served.connect()
    client.send(post("/size", b"", "Expect: 100-continue", length=3))
    assert await client.read(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"abc" + get("/ping"))
    assert [(await client.answer()).body for _ in range(2)] == [b"3", b"OK"]


@pytest.mark.parametrize(("path", "status"), [("/size", 500), ("/params", 400), ("/unread", 200)])
async def test_a_body_that_breaks_off_is_answered_all_the_same(
    served: Served, path: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client = await served.connect()
    client.send(post(path, b"ab", length=3))
    client.send_eof()
    assert (await client.answer()).status == status
    await client.closed()
    if status == 400:
        assert "failed to parse request params - unexpected EOF" in caplog.text


async def test_a_413_is_over_at_once_although_the_client_goes_on_sending(served: Served) -> None:
    client = await served.connect()
    client.send(post("/size", b"x" * 2_000_000, length=1 << 40))
    answer = await client.answer()
    assert (answer.status, answer.headers["Connection"]) == (413, "close")
    await client.closed(timeout=1)


async def test_of_a_long_body_no_more_is_kept_than_its_handler_wants(served: Served) -> None:
    client = await served.connect()
    client.send(get("/wait") + b"x" * (4 * MOST_UNREAD))
    await eventually(lambda: served.begun == 1)
    [connection] = served.server.open
    await eventually(lambda: connection._paused)
    assert len(connection._kept) < 2 * MOST_UNREAD + 256 * 1024


# -- heads -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET /" + b"x" * (MAX_HEAD + 1),
        get("/ping", "X: " + "y" * MAX_HEAD),
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * (MAX_HEAD // 6),
    ],
)
async def test_a_head_without_end_is_refused_at_a_mebibyte(served: Served, garbage: bytes) -> None:
    client = await served.connect()
    client.send(garbage)
    await client.until(lambda: client.ended)
    assert client.buffer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")


async def test_a_long_head_in_small_pieces_costs_no_more_than_a_short_one(served: Served) -> None:
    client = await served.connect()
    head = get("/ping", "X: " + "y" * 200_000)
    started = asyncio.get_running_loop().time()
    await client.read(0)
    await eventually(lambda: bool(served.server.open))
    [connection] = served.server.open
    for at in range(0, len(head), 10):
        connection.data_received(head[at : at + 10])
    assert asyncio.get_running_loop().time() - started < 1
    assert (await client.answer()).status == 200


async def test_a_bad_first_line_is_refused_before_the_head_is_complete(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client = await served.connect()
    client.send(b"GET /pi")
    client.send(b"ng\r\n")
    await client.until(lambda: client.ended)
    assert client.buffer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert caplog.messages == [f"HTTP: bad request - malformed request line ({client.name})"]


@pytest.mark.parametrize("part", [b"G", b"GET /ping HTTP/1.1\r\nHost: h\r\n"])
async def test_a_head_that_breaks_off_is_a_bad_request(served: Served, part: bytes) -> None:
    client = await served.connect()
    client.send(part)
    client.send_eof()
    await client.until(lambda: client.ended)
    assert client.buffer.startswith(b"HTTP/1.1 400 Bad Request\r\n")


# -- time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "part",
    [b"G", get("/ping")[:-2], post("/size", b"ab", length=3), post("/params", b"", length=3), chunks("/size", b"")],
)  # fmt: skip
async def test_a_request_that_does_not_get_finished_is_swept_away(
    served: Served, part: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "SLOW_S", 0.0)
    client = await served.connect()
    client.send(part)
    await client.closed()


async def test_answers_that_are_not_taken_are_swept_away(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await served.connect()
    client.transport.pause_reading()
    client.send(get("/large") * 3)
    await eventually(lambda: any(c.since for c in served.server.open))
    monkeypatch.setattr(http_connection, "SLOW_S", 0.0)
    await eventually(lambda: not served.server.open)


async def test_idle_clients_and_handlers_at_work_are_not_swept_away(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "SLOW_S", 0.0)
    idle, waiting = await served.connect(), await served.connect()
    await idle.request("GET", "/ping")
    waiting.send(get("/wait"))
    await eventually(lambda: served.begun == 1)
    for connection in served.server.open:
        assert connection.since == 0.0
    served.go.set()
    assert (await waiting.answer()).body == b"waited"
    assert (await idle.request("GET", "/ping")).body == b"OK"


# -- the end ---------------------------------------------------------------------------------------


async def test_the_end_waits_for_an_answer_that_is_about_to_come(served: Served) -> None:
    client = await served.connect()
    client.send(get("/wait"))
    await eventually(lambda: served.begun == 1)
    closing = asyncio.create_task(served.server.close())
    await asyncio.sleep(0)
    served.go.set()
    answer = await client.answer()
    assert (answer.body, answer.headers["Connection"]) == (b"waited", "close")
    await closing
    assert not served.server.open or all(c._transport.is_closing() for c in served.server.open)


async def test_the_end_is_not_held_up_by_anybody(served: Served) -> None:
    clients = [await served.connect() for _ in range(6)]
    for client, data in zip(
        clients,
        [b"", b"G", post("/size", b"", length=3), get("/wait"), get("/until"), get("/large") * 3],
        strict=True,
    ):
        client.transport.pause_reading()
        client.send(data)
    await eventually(lambda: served.begun >= 3)
    async with asyncio.timeout(DEADLINE_S / 2):
        await served.server.close()
    await eventually(lambda: not served.server.open)


async def test_a_handler_learns_that_its_client_hung_up(served: Served) -> None:
    client = await served.connect()
    client.send(get("/until"))
    await eventually(lambda: served.begun == 1)
    client.drop()
    await eventually(lambda: served.ended == ["until"])


async def test_many_silent_clients_cost_no_task(served: Served) -> None:
    before = len(asyncio.all_tasks())
    clients = [await served.connect() for _ in range(200)]
    for client in clients[100:]:
        await client.request("GET", "/ping")
    await eventually(lambda: len(served.server.open) == 200)
    assert len(asyncio.all_tasks()) == before
