"""A web server that takes what is posted to it, or does with it what a test wants."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any, Self

from aiohttp import test_utils, web


class Sink:
    """Takes every request at any path; ``http://user:secret@...`` in :attr:`url` is for who may ask it."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.statuses: list[int] = []
        """What to answer next; 200 when there is none."""
        self.hanging = False
        """Takes requests, and never answers."""
        self.requests: list[web.Request] = []
        self._bodies: list[bytes] = []
        self._came = asyncio.Condition()
        self._never = asyncio.Event()
        self._tls = tls
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._take)
        self._server = test_utils.TestServer(app, scheme="https" if tls else "http")

    async def __aenter__(self) -> Self:
        await self._server.start_server(ssl=self._tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._never.set()
        await self._server.close()

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""
        return str(self._server.make_url("")).rstrip("/")

    @property
    def bodies(self) -> list[Any]:
        """The JSON of each request so far."""
        return [json.loads(body) for body in self._bodies]

    async def wait(self, count: int) -> None:
        """Until that many requests have come; raises TimeoutError."""
        async with asyncio.timeout(10), self._came:
            await self._came.wait_for(lambda: len(self._bodies) >= count)

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        async with self._came:
            self.requests.append(request)
            self._bodies.append(body)
            self._came.notify_all()
        if self.hanging:
            await self._never.wait()
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)
