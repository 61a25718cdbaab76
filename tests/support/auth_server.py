"""An auth server that answers what the test says, by the secret it is asked about.

::

    async with AuthServer() as server, Node(tmp_path, server.flag) as node:
        server.answers["s"] = permissions(("^t", [".*"], ["publish"]))
"""

from __future__ import annotations

import asyncio
import json
import ssl
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs

from aiohttp import web

from tests.support.raw import DEADLINE_S

Entry = tuple[str, list[str], list[str]]
ALL: Entry = (".*", [".*"], ["publish", "subscribe"])


def permissions(
    *entries: Entry, ttl: int = 3600, identity: str = "", identity_url: str = ""
) -> dict[str, Any]:
    """An answer with these authorizations: topic, channels, permissions."""
    return {
        "ttl": ttl,
        "identity": identity,
        "identity_url": identity_url,
        "authorizations": [{"topic": t, "channels": c, "permissions": p} for t, c, p in entries],
    }


class Asked(NamedTuple):
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class AuthServer:
    """Listens while the block runs."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, Any] = {}
        """By secret: JSON, or bytes, or a status with either, or a whole response. Others are 404."""
        self.asked: list[Asked] = []
        self.answering = asyncio.Event()
        """While it is clear, nothing is answered."""
        self.answering.set()
        self.at_once = 0
        """The most requests that waited for an answer at the same time."""
        self._waiting = 0
        self._news = asyncio.Condition()
        self._tls = tls
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.answering.set()
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        return int(self._runner.addresses[0][1])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def flag(self) -> str:
        """For a nsqd that is to ask this server."""
        return f"--auth-http-address={self.address}"

    async def until_asked(self, times: int) -> None:
        """So many requests have come in all."""
        async with asyncio.timeout(DEADLINE_S), self._news:
            await self._news.wait_for(lambda: len(self.asked) >= times)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked.append(
            Asked(request.method, request.raw_path, {k.title(): v for k, v in request.headers.items()}, body)
        )
        self._waiting += 1
        self.at_once = max(self.at_once, self._waiting)
        async with self._news:
            self._news.notify_all()
        try:
            await self.answering.wait()
        finally:
            self._waiting -= 1
        fields = (
            json.loads(body) if body else parse_qs(request.raw_path.partition("?")[2], encoding="latin-1")
        )
        answer = self.answers.get(fields["secret"][0], (404, b"x"))
        if isinstance(answer, web.StreamResponse):
            return answer
        status, data = answer if isinstance(answer, tuple) else (200, answer)
        return web.Response(
            status=status, body=data if isinstance(data, bytes) else json.dumps(data).encode()
        )
