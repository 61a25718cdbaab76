"""How paths find their handlers: fixed and open segments, redirects, refusals made by the caller."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from nsqadmin.web.http_server import Body, Route, listen, make_runner
from nsqcore.errors import HttpError


async def _echo(request: web.Request) -> Body:
    return dict(request.match_info)


async def _fixed(request: web.Request) -> Body:
    return {"fixed": True}


async def _broken(request: web.Request) -> Body:
    raise ZeroDivisionError


def _refuse(request: web.Request, error: HttpError, plain: bool) -> web.StreamResponse:
    return web.Response(status=error.status, text=f"our own {error.code}")


ROUTES = [
    Route("GET", "/topics/{topic}", _echo),
    Route("GET", "/topics/{topic}/{channel}", _echo),
    Route("GET", "/topics/{topic}/fixed", _fixed),
    Route("GET", "/broken", _broken),
]


@pytest.fixture
async def base() -> AsyncIterator[str]:
    runner = make_runner(ROUTES)
    await runner.setup()
    yield "http://" + await listen(runner, "127.0.0.1:0")
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(requote_redirect_url=False) as session:
        yield session


async def test_open_segments_reach_the_handler_decoded(base: str, http: aiohttp.ClientSession) -> None:
    async with http.get(base + "/topics/a%23ephemeral/c") as response:
        assert await response.json() == {
            "topic": "a#ephemeral",
            "channel": "c",
            "tail": "topics/a#ephemeral/c",
        }


async def test_an_escaped_slash_stays_inside_its_segment() -> None:
    runner = make_runner(ROUTES)
    await runner.setup()
    address = await listen(runner, "127.0.0.1:0")
    url = URL(f"http://{address}/topics/a%2Fb", encoded=True)
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        assert (await response.json())["topic"] == "a/b"
    await runner.cleanup()


async def test_a_spelled_out_segment_wins_over_an_open_one(base: str, http: aiohttp.ClientSession) -> None:
    async with http.get(base + "/topics/a/fixed") as response:
        assert await response.json() == {"fixed": True}


@pytest.mark.parametrize(
    "path",
    ["/Topics/A/c", "/topics/A/c/", "/topics/A//c", "//topics/A/c", "/topics/./A/c//", "/topics/b/../A/c"],
)
async def test_a_wrong_spelling_is_redirected_with_its_query(
    base: str, http: aiohttp.ClientSession, path: str
) -> None:
    url = URL(base + path + "?x=1", encoded=True)
    async with http.get(url, allow_redirects=False) as response:
        assert response.status == 301
        assert response.headers["Location"] == "/topics/A/c?x=1"


@pytest.mark.parametrize("path", ["/topics/", "/topics//c", "/nothing", "//elsewhere.example/"])
async def test_other_paths_are_not_found(base: str, http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(base + path, allow_redirects=False) as response:
        assert response.status == 404
        assert await response.json() == {"message": "NOT_FOUND"}


@pytest.mark.parametrize(
    "path",
    ["//evil.example/../topics/A", "///topics/A", "//./topics/A", "/../../topics/A/", "//topics//A//c"],
)
async def test_a_redirect_never_leads_to_another_host(
    base: str, http: aiohttp.ClientSession, path: str
) -> None:
    async with http.get(URL(base + path, encoded=True), allow_redirects=False) as response:
        assert response.status in (301, 404)
        assert not response.headers.get("Location", "/topics").startswith(("//", "http"))


async def test_a_wrong_method_is_told_the_right_ones(base: str, http: aiohttp.ClientSession) -> None:
    async with http.post(base + "/topics/a") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET, OPTIONS"
    async with http.options(base + "/topics/a") as response:
        assert response.status == 200
        assert response.headers["Allow"] == "GET, OPTIONS"


@pytest.mark.parametrize(
    ("path", "status", "text"), [("/nothing", 404, "NOT_FOUND"), ("/broken", 500, "INTERNAL_ERROR")]
)
async def test_the_caller_may_word_refusals(path: str, status: int, text: str) -> None:
    runner = make_runner(ROUTES, refuse=_refuse)
    await runner.setup()
    address = await listen(runner, "127.0.0.1:0")
    async with aiohttp.ClientSession() as http, http.get(f"http://{address}{path}") as response:
        assert response.status == status
        assert await response.text() == f"our own {text}"
    await runner.cleanup()
