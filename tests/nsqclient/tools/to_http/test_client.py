"""The HTTP client against endpoints that are good, slow, confused and hostile."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from nsqclient.tools.to_http.client import Client
from nsqclient.tools.to_http.connection import LARGEST_BODY, LARGEST_HEAD, Answer, RequestFailed
from nsqclient.tools.to_http.requests import Request
from nsqclient.tools.to_http.urls import parse_url
from tests.nsqclient.tools.to_http.sinks import OK, Received, Sink, Wire, status
from tests.support.nsqd import eventually
from tests.support.tls import Authority


def post(url: str, body: bytes = b"hello") -> Request:
    return Request(b"POST", parse_url(url), b"A: b\r\n", body)


@asynccontextmanager
async def client_of(*sinks: Sink, timeout: float = 5.0, connect: float = 2.0) -> AsyncIterator[Client]:
    origins = {parse_url(sink.url).origin for sink in sinks}
    client = Client(origins, connect_timeout=connect, request_timeout=timeout)
    try:
        yield client
    finally:
        await client.close()


async def test_a_connection_is_used_again() -> None:
    async with Sink() as sink, client_of(sink) as client:
        for n in range(5):
            assert await client.send(post(f"{sink.url}/{n}")) == Answer(200, "")
        assert [request.connection for request in sink.received] == [1] * 5
    assert (sink.received[0].method, sink.received[0].headers["a"], sink.received[0].body) == (
        "POST",
        "b",
        b"hello",
    )


async def test_as_many_connections_as_requests_at_a_time() -> None:
    gate = asyncio.Event()

    async def answers(request: Received, wire: Wire) -> bytes:
        await gate.wait()
        return OK

    async with Sink(answers) as sink, client_of(sink) as client:
        requests = [asyncio.create_task(client.send(post(sink.url))) for _ in range(7)]
        await eventually(lambda: len(sink.received) == 7)
        gate.set()
        await asyncio.gather(*requests)
        await asyncio.gather(*(client.send(post(sink.url)) for _ in range(7)))
        assert sink.connections == 7


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", 304),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nA: b\r\n\r\n" + OK, 200),
        (status(500), 500),
        (status(302), 302),
    ],
)
async def test_answers_of_all_kinds_leave_the_connection_usable(answer: bytes, code: int) -> None:
    async with Sink(answer) as sink, client_of(sink) as client:
        for _ in range(3):
            assert (await client.send(post(sink.url))).status == code
        assert sink.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbroken off",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense",
        OK + OK,
    ],
)
async def test_the_status_counts_even_if_the_connection_can_not_be_used_again(answer: bytes) -> None:
    async def answers(request: Received, wire: Wire) -> None:
        await wire.send(answer)

    async with Sink(answers) as sink, client_of(sink) as client:
        for _ in range(2):
            assert (await client.send(post(sink.url))).status == 200
        assert sink.connections == 2


async def test_a_connection_that_was_closed_between_requests_costs_nothing() -> None:
    async def answers(request: Received, wire: Wire) -> bytes | None:
        if request.connection == 1 and request.path == "/2":
            return None
        return OK

    async with Sink(answers) as sink, client_of(sink) as client:
        for n in (1, 2, 3):
            assert (await client.send(post(f"{sink.url}/{n}"))).status == 200
        assert [(request.path, request.connection) for request in sink.received] == [
            ("/1", 1),
            ("/2", 1),
            ("/2", 2),
            ("/3", 2),
        ]


async def test_a_kept_connection_that_ends_late_has_seen_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsqclient.tools.to_http.client.STALE_WITHIN", 0.05)

    async def answers(request: Received, wire: Wire) -> bytes | None:
        if request.path == "/2":
            await asyncio.sleep(0.2)
            return None
        return OK

    async with Sink(answers) as sink, client_of(sink) as client:
        await client.send(post(f"{sink.url}/1"))
        with pytest.raises(RequestFailed, match="closed without an answer"):
            await client.send(post(f"{sink.url}/2"))
        assert len(sink.received) == 2


async def test_a_new_connection_without_an_answer_is_a_failure_at_once() -> None:
    async def answers(request: Received, wire: Wire) -> None:
        return None

    async with Sink(answers) as sink, client_of(sink) as client:
        with pytest.raises(RequestFailed, match="closed without an answer"):
            await client.send(post(sink.url))
        assert len(sink.received) == 1


async def test_what_is_sent_unasked_ends_the_connection() -> None:
    async def answers(request: Received, wire: Wire) -> bytes | None:
        if request.connection > 1:
            return OK
        await wire.send(OK)
        await gate.wait()
        await wire.send(OK)
        await wire.gone()
        gone.set()
        return None

    gate, gone = asyncio.Event(), asyncio.Event()
    async with Sink(answers) as sink, client_of(sink) as client:
        assert (await client.send(post(sink.url))).status == 200
        gate.set()
        await gone.wait()
        assert (await client.send(post(f"{sink.url}/next"))).status == 200
        assert sink.received[-1].connection == 2


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"SSH-2.0-OpenSSH\r\n", "no HTTP"),
        (b"\x00\xff" * 100, "no HTTP"),
        (b"HTTP/1.1 999999 OK\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", "another protocol"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * LARGEST_HEAD + b"\r\n", "more than 65536 bytes of headers"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000, "more than 65536 bytes of headers"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 5_000, "more than 65536 bytes of headers"),
        (b"HTTP/1.1 200 O", "closed without an answer"),
    ],
)
async def test_what_is_no_answer_is_a_failure(answer: bytes, why: str) -> None:
    async def answers(request: Received, wire: Wire) -> None:
        await wire.send(answer)

    async with Sink(answers) as sink, client_of(sink) as client:
        with pytest.raises(RequestFailed, match=why):
            await client.send(post(sink.url))


async def test_headers_without_end_are_cut_off() -> None:
    async def answers(request: Received, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            await wire.send(b"A: " + b"b" * 1000 + b"\r\n")

    async with Sink(answers) as sink, client_of(sink) as client:
        with pytest.raises(RequestFailed, match="bytes of headers"):
            await client.send(post(sink.url))


async def test_a_body_without_end_is_cut_off_and_its_status_counts() -> None:
    sent = 0

    async def answers(request: Received, wire: Wire) -> None:
        nonlocal sent
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await wire.send(b"x" * 65536)
            sent += 65536

    async with Sink(answers) as sink, client_of(sink, timeout=20) as client:
        gc.collect()
        tracemalloc.start()
        assert (await client.send(post(sink.url))).status == 200
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert sent >= LARGEST_BODY
    assert peak < 8 * LARGEST_BODY


async def test_an_endpoint_that_does_not_answer_times_out_and_the_others_go_on() -> None:
    async def silent(request: Received, wire: Wire) -> None:
        await wire.gone()

    async with Sink(silent) as bad, Sink() as good, client_of(bad, good, timeout=0.3) as client:
        waiting = [asyncio.create_task(client.send(post(bad.url))) for _ in range(5)]
        for _ in range(50):
            assert (await client.send(post(good.url))).status == 200
        for request in waiting:
            with pytest.raises(RequestFailed, match=r"^no answer within 0.3 s$"):
                await request
        await eventually(lambda: len(client.open) == 1)  # to the good one


async def test_an_answer_that_trickles_times_out() -> None:
    async def answers(request: Received, wire: Wire) -> None:
        for byte in b"HTTP/1.1 200 OK\r\n":
            await wire.send(bytes([byte]))
            await asyncio.sleep(0.05)

    async with Sink(answers) as sink, client_of(sink, timeout=0.3) as client:
        with pytest.raises(RequestFailed, match="no answer within"):
            await client.send(post(sink.url))


async def test_a_body_that_trickles_is_left_and_its_status_counts() -> None:
    async def answers(request: Received, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        await wire.gone()

    async with Sink(answers) as sink, client_of(sink, timeout=0.2) as client:
        assert (await client.send(post(sink.url))).status == 200


async def test_a_reset_is_a_failure() -> None:
    async def answers(request: Received, wire: Wire) -> None:
        wire.reset()

    async with Sink(answers) as sink, client_of(sink) as client:
        with pytest.raises(RequestFailed, match=r"the connection broke|closed without an answer"):
            await client.send(post(sink.url))


async def test_an_endpoint_that_is_not_there_is_named() -> None:
    async with Sink() as sink:
        url = sink.url
    async with client_of() as client:
        with pytest.raises(RequestFailed, match=rf"^dial tcp 127\.0\.0\.1:{sink.port}: connection refused$"):
            await client.send(post(url))
        with pytest.raises(RequestFailed, match=r"^dial tcp no-such-host\.invalid:80: "):
            await client.send(post("http://no-such-host.invalid/"))


async def test_a_connection_that_does_not_come_about_times_out() -> None:
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):  # nobody accepts these, so that there is no room for more
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        port = server.getsockname()[1]
        async with client_of(connect=0.2) as client:
            with pytest.raises(RequestFailed, match=rf"^dial tcp 127.0.0.1:{port}: i/o timeout$"):
                await client.send(post(f"http://127.0.0.1:{port}/"))


async def test_a_request_that_is_cancelled_leaves_no_connection() -> None:
    async def silent(request: Received, wire: Wire) -> None:
        await wire.gone()

    async with Sink(silent) as sink, client_of(sink) as client:
        request = asyncio.create_task(client.send(post(sink.url)))
        await eventually(lambda: len(sink.received) == 1)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        await eventually(lambda: not client.open)


async def test_closing_ends_what_is_under_way() -> None:
    async def silent(request: Received, wire: Wire) -> None:
        await wire.gone()

    async with Sink(silent) as sink:
        async with client_of(sink) as client:
            request = asyncio.create_task(client.send(post(sink.url)))
            await eventually(lambda: len(sink.received) == 1)
        with pytest.raises(RequestFailed, match="the client is closed"):
            await request


# ---- redirects


@pytest.mark.parametrize("code", [301, 302, 303])
async def test_a_redirected_post_becomes_a_get(code: int, caplog: pytest.LogCaptureFixture) -> None:
    async def answers(request: Received, wire: Wire) -> bytes:
        return status(code, "Location: /there?x=1") if request.path == "/here" else OK

    async with Sink(answers) as sink, client_of(sink) as client:
        for _ in range(2):
            assert (await client.send(post(f"{sink.url}/here"))).status == 200
    assert [(r.method, r.path, r.body) for r in sink.received] == [
        ("POST", "/here", b"hello"),
        ("GET", "/there?x=1", b""),
    ] * 2
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == (0 if code == 303 else 1)
    assert all("without the message" in text for text in warnings)


@pytest.mark.parametrize("code", [307, 308])
async def test_a_redirect_that_keeps_the_method_sends_the_message_again(code: int) -> None:
    async with Sink() as other:

        async def answers(request: Received, wire: Wire) -> bytes:
            return status(code, f"Location: {other.url}/there")

        async with Sink(answers) as sink, client_of(sink) as client:
            assert (await client.send(post(f"{sink.url}/here"))).status == 200
            await eventually(lambda: len(client.open) == 1)  # there, none is kept
    assert [(r.method, r.path, r.body) for r in other.received] == [("POST", "/there", b"hello")]


async def test_a_redirected_get_stays_a_get_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    async def answers(request: Received, wire: Wire) -> bytes:
        return status(302, "Location: there") if request.path == "/here" else status(204)

    async with Sink(answers) as sink, client_of(sink) as client:
        request = replace(post(f"{sink.url}/here"), method=b"GET", body=None)
        assert (await client.send(request)).status == 204
    assert not caplog.records


async def test_redirects_in_a_circle_end() -> None:
    async with Sink(status(302, "Location: /")) as sink, client_of(sink) as client:
        with pytest.raises(RequestFailed, match="stopped after 10 redirects"):
            await client.send(post(sink.url))
    assert len(sink.received) == 11


async def test_a_place_that_is_no_redirects_is_not_asked() -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nLocation: /hint\r\n\r\n"
    trailer = b"HTTP/1.1 302 Found\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nLocation: /trailer\r\n\r\n"
    async with Sink(hint + trailer) as sink, client_of(sink) as client:
        assert (await client.send(post(sink.url))).status == 302
    assert len(sink.received) == 1


async def test_a_request_and_its_redirects_have_one_timeout_together() -> None:
    async def slow(request: Received, wire: Wire) -> bytes:
        await asyncio.sleep(0.15)
        return status(302, "Location: /")

    async with Sink(slow) as sink, client_of(sink, timeout=0.4) as client:
        with pytest.raises(RequestFailed, match=r"^no answer within 0.4 s$"):
            await client.send(post(sink.url))
    assert len(sink.received) <= 3  # the third one's answer would be too late


@pytest.mark.parametrize("location", ["ftp://a/", "file:///etc/passwd", "http://a b/"])
async def test_a_redirect_to_what_is_no_address_is_a_failure(location: str) -> None:
    async with Sink(status(302, f"Location: {location}")) as sink, client_of(sink) as client:
        with pytest.raises(RequestFailed, match="redirected to"):
            await client.send(post(sink.url))


# ---- TLS


def server_context(authority: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.folder / "server.pem", authority.folder / "server.key")
    return context


async def test_https_is_verified(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with Sink(tls=server_context(authority)) as sink, client_of(sink) as client:
        with pytest.raises(RequestFailed, match="certificate verify failed"):
            await client.send(post(sink.url))
    assert sink.received == []


async def test_https_of_a_trusted_authority_is_spoken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with Sink(tls=server_context(authority)) as sink, client_of(sink) as client:
        for _ in range(3):
            assert (await client.send(post(sink.url, b"x" * 100_000))).status == 200
        assert sink.connections == 1


async def test_a_server_that_does_not_speak_tls_is_a_failure() -> None:
    async def answers(request: Received, wire: Wire) -> bytes:
        return OK

    async with Sink(answers) as sink, client_of(timeout=0.5) as client:
        with pytest.raises(RequestFailed, match="dial tcp"):
            await client.send(post(sink.url.replace("http:", "https:")))
