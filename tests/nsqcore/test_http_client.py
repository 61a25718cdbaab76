from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Self

import pytest
from aiohttp import test_utils, web
from yarl import URL

from nsqcore.http_client import HttpFailure, JsonClient, _https_origin
from nsqcore.version import NSQ_VERSION
from tests.support.tls import Authority


async def _echo(request: web.Request) -> web.Response:
    return web.json_response(
        {
            "method": request.method,
            "query": dict(request.query),
            "body": (await request.read()).decode(),
            "accept": request.headers["Accept"],
            "user_agent": request.headers["User-Agent"],
        }
    )


async def _nothing(request: web.Request) -> web.Response:
    return web.Response()


async def _text(request: web.Request) -> web.Response:
    return web.Response(text="OK")


async def _moved(request: web.Request) -> web.Response:
    raise web.HTTPMovedPermanently("/echo")


async def _missing(request: web.Request) -> web.Response:
    return web.json_response({"message": "TOPIC_NOT_FOUND"}, status=404)


async def _html(request: web.Request) -> web.Response:
    return web.Response(text="<p>no</p>", content_type="text/html")


async def _brackets(request: web.Request) -> web.Response:
    return web.Response(body=b"[" * 90_000, content_type="application/json")


async def _teapot(request: web.Request) -> web.Response:
    return web.Response(status=418, text="[1]")


async def _large(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(200):
        await response.write(b'"' + b"x" * 998 + b'"')
    return response


async def _slow(request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    return web.Response()


async def _truncated(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b'{"topics":')
    assert request.transport is not None
    request.transport.close()
    return response


async def _https(request: web.Request) -> web.Response:
    return web.json_response({"message": "TLS_REQUIRED", "https_port": 1}, status=403)


class _Secured:
    """A daemon that says 403 and where its HTTPS is, until it gives up TLS."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self.refused = 0
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.server.configure_cert(context)
        self._https = test_utils.TestServer(self._app(self._stats), scheme="https")
        self._http = test_utils.TestServer(self._app(self._refuse))
        self._context = context
        self._tls = True

    async def __aenter__(self) -> Self:
        await self._https.start_server(ssl=self._context)
        await self._http.start_server()
        self.plain = str(self._http.make_url("")).rstrip("/")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()
        await self._https.close()

    async def give_up_tls(self) -> None:
        self._tls = False
        await self._https.close()

    def _app(self, handler: Callable[[web.Request], Awaitable[web.Response]]) -> web.Application:
        app = web.Application()
        app.add_routes([web.get("/stats", handler)])
        if handler == self._refuse:
            app.add_routes([web.get("/nope", handler)])
        return app

    async def _stats(self, request: web.Request) -> web.Response:
        return web.json_response({"query": dict(request.query)})

    async def _refuse(self, request: web.Request) -> web.Response:
        if not self._tls:
            return await self._stats(request)
        self.refused += 1
        return web.json_response({"message": "TLS_REQUIRED", "https_port": self._https.port}, status=403)


ROUTES = [
    web.get("/echo", _echo),
    web.post("/echo", _echo),
    web.post("/nothing", _nothing),
    web.get("/text", _text),
    web.get("/moved", _moved),
    web.get("/missing", _missing),
    web.get("/html", _html),
    web.get("/brackets", _brackets),
    web.get("/teapot", _teapot),
    web.get("/large", _large),
    web.get("/slow", _slow),
    web.get("/truncated", _truncated),
    web.get("/https", _https),
]


@pytest.fixture
async def base() -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes(ROUTES)
    async with test_utils.TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.fixture
async def client() -> AsyncIterator[JsonClient]:
    async with JsonClient(max_answer=100_000) as client:
        yield client


async def test_a_get_carries_its_parameters_and_says_what_it_accepts(base: str, client: JsonClient) -> None:
    assert await client.get(base + "/echo", topic="t#ephemeral", channel="a b&c") == {
        "method": "GET",
        "query": {"topic": "t#ephemeral", "channel": "a b&c"},
        "body": "",
        "accept": "application/vnd.nsq; version=1.0",
        "user_agent": f"nsq-suite/{NSQ_VERSION}",
    }


async def test_a_post_carries_its_body(base: str, client: JsonClient) -> None:
    answer = await client.post(base + "/echo", b"a message", topic="t")
    assert (answer["method"], answer["body"], answer["query"]) == ("POST", "a message", {"topic": "t"})


async def test_an_empty_answer_is_none_and_a_text_is_text(base: str, client: JsonClient) -> None:
    assert await client.post(base + "/nothing") is None
    assert await client.get(base + "/text") == "OK"


async def test_a_refusal_tells_its_status_and_code(base: str, client: JsonClient) -> None:
    with pytest.raises(HttpFailure) as failure:
        await client.get(base + "/missing")
    assert (failure.value.status, failure.value.code) == (404, "TOPIC_NOT_FOUND")
    assert str(failure.value) == f"{base}/missing: got response 404 Not Found TOPIC_NOT_FOUND"


async def test_a_refusal_that_is_not_the_apis_has_no_code(base: str, client: JsonClient) -> None:
    with pytest.raises(HttpFailure, match=r"got response 418 I'm a Teapot$") as failure:
        await client.get(base + "/teapot")
    assert failure.value.code == ""


async def test_a_redirect_is_a_failure(base: str, client: JsonClient) -> None:
    with pytest.raises(HttpFailure) as failure:
        await client.get(base + "/moved")
    assert failure.value.status == 301


async def test_a_page_in_place_of_json_is_a_failure(base: str, client: JsonClient) -> None:
    with pytest.raises(HttpFailure, match="the answer is not JSON"):
        await client.get(base + "/html")


async def test_a_text_of_brackets_is_a_failure_and_no_crash(base: str, client: JsonClient) -> None:
    with pytest.raises(HttpFailure, match="the answer is not JSON"):
        await client.get(base + "/brackets")


async def test_an_answer_without_end_is_cut_off(base: str, client: JsonClient) -> None:
    with pytest.raises(HttpFailure, match="the answer exceeds 100000 bytes"):
        await client.get(base + "/large")


async def test_an_answer_that_breaks_off_is_a_failure(base: str, client: JsonClient) -> None:
    with pytest.raises(HttpFailure):
        await client.get(base + "/truncated")


async def test_a_closed_port_is_said_in_words_without_the_address(client: JsonClient) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        host, port = taken.getsockname()
        with pytest.raises(HttpFailure) as failure:
            await client.get(f"http://{host}:{port}/stats")
    assert failure.value.reason == "connection refused"


async def test_a_silent_daemon_is_given_up(base: str) -> None:
    async with JsonClient(request_timeout=0.05) as client:
        with pytest.raises(HttpFailure, match="timed out") as failure:
            await client.get(base + "/slow")
    assert failure.value.status == 0


@pytest.mark.parametrize("url", ["http://", "not a url", "http://[::1", "ftp://h/"])
async def test_an_impossible_url_is_a_failure_too(url: str, client: JsonClient) -> None:
    with pytest.raises(HttpFailure):
        await client.get(url)


async def test_a_daemon_that_requires_tls_is_asked_again_at_its_https_port(
    base: str, client: JsonClient
) -> None:
    with pytest.raises(HttpFailure) as failure:
        await client.get(base + "/https", topic="t")
    assert failure.value.url == "https://127.0.0.1:1/https", "nobody listens there, but it was tried"


@pytest.mark.parametrize(
    ("url", "data", "retry"),
    [
        ("http://h:4151/stats", b'{"https_port":4152}', "https://h:4152"),
        ("http://h/stats", b'{"https_port":4152}', "https://h:4152"),
        ("http://[::1]:4151/a/b", b'{"https_port":4152}', "https://[::1]:4152"),
        ("http://[::1]/a", b'{"https_port":4152}', "https://[::1]:4152"),
        ("http://h:4151", b'{"https_port":4152}', "https://h:4152"),
        ("http://h:4151?a=/:1", b'{"https_port":4152}', "https://h:4152"),
        ("https://h:4152/stats", b'{"https_port":4153}', ""),
        ("http://h:4151/stats", b'{"https_port":0}', ""),
        ("http://h:4151/stats", b'{"message":"FORBIDDEN"}', ""),
        ("http://h:4151/stats", b"[]", ""),
        ("http://h:4151/stats", b"no", ""),
        ("http://h:4151/stats", b'{"https_port":1e999}', ""),
        ("http://h:4151/stats", b'{"https_port":' + b"[" * 100_000, ""),
    ],
)
def test_where_to_ask_again(url: str, data: bytes, retry: str) -> None:
    assert _https_origin(url, data) == retry


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[_Secured]:
    async with _Secured(Authority(tmp_path)) as daemon:
        yield daemon


async def test_a_daemon_that_requires_tls_is_asked_there_at_once_the_next_time(secured: _Secured) -> None:
    async with JsonClient(tls=secured.authority.context) as client:
        for _ in range(3):
            assert await client.get(secured.plain + "/stats", topic="t") == {"query": {"topic": "t"}}
            assert await client.get(URL(f"{secured.plain}/stats?topic=%74", encoded=True)) == {
                "query": {"topic": "t"}
            }
    assert secured.refused == 1


async def test_a_daemon_that_does_without_tls_again_is_found_again(secured: _Secured) -> None:
    async with JsonClient(tls=secured.authority.context) as client:
        await client.get(secured.plain + "/stats")
        await secured.give_up_tls()
        with pytest.raises(HttpFailure):
            await client.get(secured.plain + "/stats")
        assert await client.get(secured.plain + "/stats") == {"query": {}}


async def test_a_refusal_behind_tls_does_not_make_the_client_forget(secured: _Secured) -> None:
    async with JsonClient(tls=secured.authority.context) as client:
        for _ in range(3):
            with pytest.raises(HttpFailure, match="404"):
                await client.get(secured.plain + "/nope")
    assert secured.refused == 1


async def test_a_certificate_of_a_stranger_is_refused(secured: _Secured) -> None:
    async with JsonClient() as client:
        with pytest.raises(HttpFailure, match="certificate verify failed"):
            await client.get(secured.plain + "/stats")


async def test_it_can_be_closed_twice() -> None:
    client = JsonClient()
    await client.close()
    await client.close()
