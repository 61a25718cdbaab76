"""What the JSON client says when a daemon does not answer as it should."""

from __future__ import annotations

import socket

import pytest
from aiohttp import web

from nsqcore.http_client import HttpFailure, JsonClient
from nsqcore.http_server import Body, Route, listen, make_runner


def _unused_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


async def test_a_closed_port_is_said_in_words_without_the_address() -> None:
    async with JsonClient() as client:
        with pytest.raises(HttpFailure) as failure:
            await client.get(f"http://127.0.0.1:{_unused_port()}/stats")
    assert failure.value.reason == "connection refused"


async def test_a_text_of_brackets_is_a_failure_and_no_crash() -> None:
    async def brackets(request: web.Request) -> Body:
        return b"[" * 1_000_000

    runner = make_runner([Route("GET", "/stats", brackets)])
    await runner.setup()
    address = await listen(runner, "127.0.0.1:0")
    async with JsonClient() as client:
        with pytest.raises(HttpFailure, match="the answer is not JSON"):
            await client.get(f"http://{address}/stats")
    await runner.cleanup()
