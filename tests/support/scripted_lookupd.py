"""A nsqlookupd that does as it is told: both its ports are real, its answers come from the test.

::

    async with ScriptedLookupd() as lookupd, Node(tmp_path, lookupd.flag) as node:
        await lookupd.expect("REGISTER t")
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from nsqcore.wire.lookup import MAGIC_V1, SIZE, encode_answer

DEADLINE_S = 5.0


class ScriptedLookupd:
    """Listens while the block runs. Every command is kept as text, IDENTIFY's body apart."""

    def __init__(self) -> None:
        self.identities: list[dict[str, Any]] = []
        self.channels: dict[str, list[str]] = {}
        """By topic, for ``/channels``."""
        self.asked: list[str] = []
        """Topics that ``/channels`` was asked for."""
        self.http_status = 200
        self.tells: dict[str, Any] = {}
        """Changes to what it tells of itself."""
        self.script: Callable[[str], bytes | None] = lambda command: b"OK"
        """What a command other than IDENTIFY is answered; None for no answer."""
        self.identify_answer: bytes | None = None
        """Raw bytes in place of the answer to IDENTIFY."""
        self.answering = asyncio.Event()
        """While it is clear, nothing is answered on either port."""
        self.answering.set()
        self.address = "127.0.0.1:0"
        self.connections = 0
        """So many were made in all."""
        self.commands: list[str] = []
        self._seen = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._news = asyncio.Condition()
        self._server: asyncio.Server | None = None
        app = web.Application()
        app.router.add_get("/channels", self._channels)
        self._http = web.AppRunner(app, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._http.setup()
        await web.TCPSite(self._http, "127.0.0.1", 0).start()
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.answering.set()
        await self.stop()
        await self._http.cleanup()

    @property
    def flag(self) -> str:
        """Has a nsqd register here."""
        return f"--lookupd-tcp-address={self.address}"

    @property
    def open(self) -> int:
        """Connections that there are."""
        return len(self._open)

    async def start(self) -> None:
        """Listens; again at the same port after :meth:`stop`."""
        host, _, port = self.address.rpartition(":")
        self._server = await asyncio.start_server(self._serve, host, int(port))
        self.address = f"{host}:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Drops every connection and takes no more."""
        if self._server is not None:
            self._server.close()
            self.drop()
            await self._server.wait_closed()
            self._server = None
            await self.until(lambda: not self._open)

    def drop(self) -> None:
        """Ends every connection as a crash would."""
        for writer in list(self._open):
            writer.transport.abort()

    def say(self, words: bytes) -> None:
        """Sends bytes that nobody asked for over every connection."""
        for writer in self._open:
            writer.write(words)

    # -- what nsqd did -----------------------------------------------------------------------------

    async def expect(self, *commands: str) -> None:
        """The next commands are these, PINGs left out; waits for them."""
        until = self._seen + len(commands)
        try:
            await self.until(lambda: len(self.commands) >= until)
        except TimeoutError:
            pass
        seen = self.commands[self._seen : until]
        assert seen == list(commands), f"expected {list(commands)}, got {seen}; all: {self.commands}"
        self._seen = until

    def nothing_more(self) -> None:
        """No command came that was not expected."""
        assert self.commands[self._seen :] == []

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits for a condition on what was received; raises TimeoutError."""
        async with asyncio.timeout(DEADLINE_S), self._news:
            await self._news.wait_for(condition)

    # -- inner workings ----------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        self.connections += 1
        try:
            assert await reader.readexactly(4) == MAGIC_V1
            while line := await reader.readline():
                await self._command(line.decode().rstrip("\n"), reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self._open.discard(writer)
            await self._tell()

    async def _command(
        self, command: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        answer: bytes | None
        if command == "IDENTIFY":
            (size,) = SIZE.unpack(await reader.readexactly(4))
            self.identities.append(json.loads(await reader.readexactly(size)))
            answer = self.identify_answer
            if answer is None:
                answer = encode_answer(json.dumps(self._describe()).encode())
        else:
            if command != "PING":
                self.commands.append(command)
            data = self.script(command)
            answer = None if data is None else encode_answer(data)
        await self._tell()
        await self.answering.wait()
        if answer is not None:
            writer.write(answer)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    def _describe(self) -> dict[str, Any]:
        return {
            "broadcast_address": "127.0.0.1",
            "hostname": "h",
            "http_port": self._http.addresses[0][1],
            "tcp_port": int(self.address.rpartition(":")[2]),
            "version": "1.3.0",
            **self.tells,
        }

    async def _channels(self, request: web.Request) -> web.Response:
        self.asked.append(request.query["topic"])
        await self._tell()
        await self.answering.wait()
        if self.http_status != 200:
            return web.json_response({"message": "BROKEN"}, status=self.http_status)
        return web.json_response({"channels": self.channels.get(request.query["topic"], [])})
