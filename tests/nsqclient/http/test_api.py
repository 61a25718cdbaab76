"""What every request of the HTTP clients promises: addresses, credentials, limits, and kinds of failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

from nsqclient import (
    ApiBroken,
    ApiNotFound,
    ApiRefused,
    ApiTimeout,
    ApiUnreachable,
    Closed,
    ConfigError,
    DelayOutOfRange,
    EmptyMessage,
    InvalidName,
    Limits,
    MessageTooLarge,
    Tls,
)
from nsqclient.http import Lookupd, Nsqd
from tests.support.nsqd import Node
from tests.support.tls import Authority

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Answers as the test says."""

    def __init__(self) -> None:
        self.answer: Answering
        self.requests: list[web.Request] = []
        self.base = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        return await self.answer(request)

    def says(self, body: str, status: int = 200, content_type: str = "application/json") -> None:
        async def answer(request: web.Request) -> web.Response:
            return web.Response(text=body, status=status, content_type=content_type)

        self.answer = answer


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.mark.parametrize(
    "address", ["", "host", "http://host", "ftp://host:1", "http://host:x", "unix:", "h:1?x=1"]
)
def test_an_address_without_a_port_or_of_another_kind_is_refused(address: str) -> None:
    with pytest.raises(ConfigError):
        Nsqd(address)


@pytest.mark.parametrize(
    "address", ["host:4151", "http://host:4151", "https://[::1]:4152/nsq/", "unix:/run/s"]
)
def test_an_address_may_be_short_long_or_a_socket(address: str) -> None:
    assert "Nsqd(" in repr(Nsqd(address))


async def test_a_path_in_the_address_stands_before_the_endpoints(server: Server) -> None:
    server.says("OK", content_type="text/plain")
    async with Nsqd(f"{server.base}/behind/proxy/") as nsqd:
        await nsqd.ping()
    assert server.requests[0].path == "/behind/proxy/ping"


async def test_a_secret_is_sent_as_bearer_and_asked_for_anew_each_time(server: Server) -> None:
    secrets = iter(["first", "second"])
    server.says("OK", content_type="text/plain")
    async with Nsqd(server.base, auth=lambda: next(secrets)) as nsqd:
        await nsqd.ping()
        await nsqd.ping()
    async with Lookupd(server.base, auth="fixed") as lookupd:
        await lookupd.ping()
    sent = [request.headers["Authorization"] for request in server.requests]
    assert sent == ["Bearer first", "Bearer second", "Bearer fixed"]


async def test_an_error_answer_has_its_status_code_and_text(server: Server) -> None:
    async with Nsqd(server.base) as nsqd:
        server.says('{"message":"INVALID_TOPIC"}', 400)
        with pytest.raises(ApiRefused, match="INVALID_TOPIC") as refused:
            await nsqd.create_topic("t")
        server.says('{"message":"NOT_FOUND"}', 404)
        with pytest.raises(ApiNotFound):
            await nsqd.info()
        server.says("NOK - disk full", 500, "text/plain")
        with pytest.raises(ApiRefused, match="disk full") as ill:
            await nsqd.ping()
    assert (refused.value.status, refused.value.code) == (400, "INVALID_TOPIC")
    assert refused.value.url == f"{server.base}/topic/create"
    assert ill.value.status == 500


@pytest.mark.parametrize(
    "body",
    [
        "",
        "not json",
        "[]",
        "{}",
        '{"version": 3}',
        "[" * 100_000,
        '{"version":"1","health":"OK","start_time":1,"topics":7}',
    ],
)
async def test_an_answer_of_another_program_is_broken(server: Server, body: str) -> None:
    server.says(body)
    async with Nsqd(server.base) as nsqd:
        with pytest.raises(ApiBroken):
            await nsqd.stats()
    async with Lookupd(server.base) as lookupd:
        with pytest.raises(ApiBroken):
            await lookupd.nodes()


async def test_an_answer_without_bound_is_not_read(server: Server) -> None:
    server.says('"' + "x" * 5000 + '"')
    async with Nsqd(server.base, max_answer=1000) as nsqd:
        with pytest.raises(ApiBroken, match="1000 bytes"):
            await nsqd.info()


async def test_nobody_there_is_told_from_no_answer_in_time(server: Server) -> None:
    never = asyncio.Event()

    async def silent(request: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    server.answer = silent
    async with Nsqd(server.base, timeout=0.05) as nsqd:
        with pytest.raises(ApiTimeout) as late:
            await nsqd.ping()
    assert isinstance(late.value, TimeoutError)
    assert late.value.status == 0
    never.set()
    async with Nsqd(f"127.0.0.1:{unused_port()}") as nsqd:
        with pytest.raises(ApiUnreachable) as gone:
            await nsqd.ping()
    assert not isinstance(gone.value, TimeoutError)


async def test_what_could_never_be_published_is_not_sent(server: Server) -> None:
    async with Nsqd(server.base, limits=Limits(max_msg_size=3, max_body_size=20)) as nsqd:
        with pytest.raises(InvalidName):
            await nsqd.publish("bad topic", b"x")
        with pytest.raises(InvalidName):
            await nsqd.create_channel("t", "bad channel")
        with pytest.raises(EmptyMessage):
            await nsqd.publish("t", b"")
        with pytest.raises(MessageTooLarge):
            await nsqd.publish("t", b"1234")
        with pytest.raises(MessageTooLarge):
            await nsqd.publish_many("t", [b"123"] * 3)
        with pytest.raises(DelayOutOfRange):
            await nsqd.publish("t", b"x", delay=3601)
        with pytest.raises(ConfigError, match="newline"):
            await nsqd.publish_many("t", [b"a\n"], binary=False)
        with pytest.raises(ConfigError):
            await nsqd.config("../stats")
    async with Lookupd(server.base) as lookupd:
        with pytest.raises(InvalidName):
            await lookupd.delete_topic("*")
        with pytest.raises(ConfigError):
            await lookupd.tombstone("t", "")
    assert server.requests == []


async def test_a_closed_client_says_so(server: Server) -> None:
    nsqd = Nsqd(server.base)
    await nsqd.close()
    await nsqd.close()
    with pytest.raises(Closed):
        await nsqd.ping()


async def test_a_unix_socket_is_an_address(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    async with Node(tmp_path, f"--http-address={path}"), Nsqd(f"unix:{path}") as nsqd:
        await nsqd.publish("t", b"x")
        assert (await nsqd.stats("t")).topics[0].message_count == 1


async def test_https_is_spoken_and_a_nsqd_that_requires_it_is_followed_there(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with Node(tmp_path, *authority.flags, "--tls-required") as node:
        context = authority.context()
        async with Nsqd(f"https://127.0.0.1:{node.https[1]}", tls=context) as nsqd:
            await nsqd.ping()
        async with Nsqd(f"127.0.0.1:{node.http[1]}", tls=context) as nsqd:
            await nsqd.publish("t", b"x")
            assert (await nsqd.stats("t")).topics[0].message_count == 1
        async with Nsqd(f"https://127.0.0.1:{node.https[1]}", tls=Tls(ca=tmp_path / "ca.pem")) as nsqd:
            await nsqd.ping()
        async with Nsqd(f"https://127.0.0.1:{node.https[1]}") as nsqd:
            with pytest.raises(ApiUnreachable, match="certificate"):
                await nsqd.ping()
