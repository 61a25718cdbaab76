"""Endpoints for messages: HTTP servers that record what they get, and behave as a test says."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Received(NamedTuple):
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    """By name in lower case."""
    body: bytes
    connection: int
    """Which connection it came by, from 1."""


class Wire(NamedTuple):
    """The connection of a request, for what no plain answer can do."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """At once."""
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Ends it without a word."""
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Until the client has closed it."""
        with suppress(OSError):
            while await self.reader.read(65536):
                pass


Answers = Callable[[Received, Wire], Awaitable[bytes | None]]
"""Makes the bytes of the answer to a request; None: the connection is over."""


def status(code: int, *lines: str) -> bytes:
    """An answer without a body."""
    return "\r\n".join([f"HTTP/1.1 {code} Whatever", "Content-Length: 0", *lines, "", ""]).encode()


def always(answer: bytes) -> Answers:
    """The same to everything."""

    async def answers(request: Received, wire: Wire) -> bytes:
        return answer

    return answers


class Sink:
    """A server on a free port, for ``async with``."""

    def __init__(self, answers: Answers | bytes = OK, *, tls: ssl.SSLContext | None = None) -> None:
        self.answers: Answers = always(answers) if isinstance(answers, bytes) else answers
        self.received: list[Received] = []
        self.connections = 0
        self.port = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    @property
    def bodies(self) -> list[bytes]:
        """Of all requests, in order."""
        return [request.body for request in self.received]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends it, connections included; entering it again has it back at its port."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        me = asyncio.current_task()
        assert me is not None
        self._tasks.add(me)
        me.add_done_callback(self._tasks.discard)
        self.connections += 1
        number = self.connections
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while True:
                    request = await _read(reader, number)
                    self.received.append(request)
                    answer = await self.answers(request, Wire(reader, writer))
                    if answer is None:
                        break
                    writer.write(answer)
                    await writer.drain()
        finally:
            writer.transport.abort() if self._server is None else writer.close()


async def _read(reader: asyncio.StreamReader, number: int) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method, path, headers, body, number)
