"""A nsqlookupd's HTTP side that answers what the test says."""

from __future__ import annotations

import asyncio
import ssl
from types import TracebackType
from typing import Self

from aiohttp import web


class FakeLookupd:
    """``nodes`` are nsqd addresses; ``topics`` maps a topic to those that have it."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.nodes: list[str] = []
        self.topics: dict[str, list[str]] = {}
        self.status = 200
        """Any other is answered to everything."""
        self.text: str | None = None
        """Answered instead of JSON."""
        self.wrapped = False
        """Answers as nsqlookupd did before 1.0."""
        self.url = ""
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        """Of each request, names in lower case."""
        self.tells: dict[str, dict[str, object]] = {}
        """By nsqd address, what is told of it beside that."""
        self.let_through = asyncio.Event()
        """While it is clear, requests hang."""
        self.let_through.set()
        self._asked = asyncio.Condition()
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        scheme = "http" if self._tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_through.set()
        await self._runner.cleanup()

    async def asked(self, times: int) -> None:
        """Waits until so many requests have come in all."""
        async with asyncio.timeout(5), self._asked:
            await self._asked.wait_for(lambda: len(self.requests) >= times)

    async def _answer(self, request: web.Request) -> web.Response:
        self.requests.append(request.path_qs)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        async with self._asked:
            self._asked.notify_all()
        await self.let_through.wait()
        if self.status != 200:
            return web.json_response({"message": "BROKEN"}, status=self.status)
        if self.text is not None:
            return web.Response(text=self.text)
        if request.path.endswith("/topics"):
            return web.json_response({"topics": list(self.topics)})
        if request.path.endswith("nodes"):
            named = self.nodes
        else:
            topic = request.query["topic"]
            if topic not in self.topics:
                return web.json_response({"message": "TOPIC_NOT_FOUND"}, status=404)
            named = self.topics[topic]
        answer: dict[str, object] = {
            "channels": [],
            "producers": [_producer(node) | self.tells.get(node, {}) for node in named],
        }
        return web.json_response({"status_code": 200, "data": answer} if self.wrapped else answer)


def _producer(node: str) -> dict[str, object]:
    host, _, port = node.rpartition(":")
    return {"broadcast_address": host, "tcp_port": int(port), "http_port": 1, "version": "1.3.0"}
