"""A nsqd that does as it is told: real sockets and the real protocol, answers from a script.

::

    async with FakeNsqd() as nsqd:
        nsqd.script("PUB", silence, refuse("E_PUB_FAILED PUB failed exiting"))
        ...
        await nsqd.expect("IDENTIFY", "SUB t c", "RDY 5")
        nsqd.message(b"x")

Every command is recorded as text: ``PUB t body``, ``MPUB t a b``, ``DPUB t 100 body``, ``REQ id 0``. What
is not scripted is answered as a healthy nsqd does. NOP is recorded apart, as it comes at any time.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import Callable
from types import TracebackType
from typing import Self, cast

from nsqcore.wire.frames import (
    CLOSE_WAIT,
    ERROR,
    HEARTBEAT,
    MAGIC_V2,
    MESSAGE,
    MESSAGE_HEAD,
    OK,
    RESPONSE,
    encode_frame,
)

DEADLINE = 5.0
"""Seconds that an expectation is waited for."""

AGREEMENT = {
    "max_rdy_count": 2500,
    "version": "1.3.0",
    "max_msg_timeout": 900000,
    "msg_timeout": 60000,
    "auth_required": False,
}


class Link:
    """One client's connection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.commands: list[str] = []
        self.identify: dict[str, object] = {}
        self.nops = 0
        self.deaf = False
        """Reads on, and does nothing any more: what nsqd's clients see after a fatal error."""
        self.gone = asyncio.Event()
        self._writer = writer

    def send(self, kind: int, data: bytes) -> None:
        """A frame."""
        self._writer.write(encode_frame(kind, data))

    def raw(self, data: bytes) -> None:
        """Bytes that need not be frames."""
        self._writer.write(data)

    def ok(self) -> None:
        self.send(RESPONSE, OK)

    def heartbeat(self) -> None:
        self.send(RESPONSE, HEARTBEAT)

    def error(self, text: str) -> None:
        """An error frame; what follows is up to the caller."""
        self.send(ERROR, text.encode())

    def message(self, body: bytes, *, message_id: str, attempts: int = 1, timestamp: int = 1) -> None:
        self.send(MESSAGE, MESSAGE_HEAD.pack(timestamp, attempts, message_id.encode()) + body)

    def drop(self) -> None:
        """Ends the connection as a crash would."""
        self._writer.transport.abort()

    def stop_reading(self) -> None:
        """Takes no bytes any more, so that the client's pile up."""
        cast(asyncio.Transport, self._writer.transport).pause_reading()

    def resume_reading(self) -> None:
        cast(asyncio.Transport, self._writer.transport).resume_reading()


Reaction = Callable[[Link], None]


def silence(link: Link) -> None:
    """No answer."""


def ok(link: Link) -> None:
    link.ok()


def drop(link: Link) -> None:
    link.drop()


def refuse(text: str) -> Reaction:
    """A fatal error: nothing is read after it."""

    def react(link: Link) -> None:
        link.error(text)
        link.deaf = True

    return react


class FakeNsqd:
    """Listens while the block runs."""

    def __init__(self, **agreement: object) -> None:
        self.agreement: dict[str, object] = {**AGREEMENT, **agreement}
        self.links: list[Link] = []
        self.address = ""
        self.bodies: list[bytes] = []
        """Of all messages that were published, as they came."""
        self._scripts: defaultdict[str, deque[Reaction]] = defaultdict(deque)
        self._always: dict[str, Reaction] = {}
        self._seen = 0
        self._commands: list[str] = []
        self._news = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._next_id = 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listens; again at the same port after :meth:`stop`."""
        port = int(self.address.rpartition(":")[2] or 0)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.address = f"{host}:{port}"

    async def stop(self) -> None:
        """Drops all connections and listens no more."""
        if self._server is not None:
            self._server.close()
            for link in self.links:
                link.drop()
            for link in self.links:
                await link.gone.wait()
            await self._server.wait_closed()
            self._server = None

    # ---- script

    def script(self, verb: str, *reactions: Reaction) -> None:
        """The next commands ``verb`` are answered so; after that as ever."""
        self._scripts[verb].extend(reactions)

    def always(self, verb: str, reaction: Reaction) -> None:
        """From now on ``verb`` is answered so."""
        self._always[verb] = reaction

    @property
    def link(self) -> Link:
        """The newest connection that is there."""
        return [link for link in self.links if not link.gone.is_set()][-1]

    def message(self, body: bytes = b"x", *, message_id: str = "", attempts: int = 1) -> str:
        """Sends a message on the newest connection; returns its ID."""
        if not message_id:
            self._next_id += 1
            message_id = f"{self._next_id:016x}"
        self.link.message(body, message_id=message_id, attempts=attempts)
        return message_id

    # ---- what clients did

    @property
    def commands(self) -> list[str]:
        """Everything received so far, NOPs left out."""
        return list(self._commands)

    @property
    def verbs(self) -> list[str]:
        """The same, without arguments."""
        return [command.partition(" ")[0] for command in self._commands]

    async def expect(self, *commands: str) -> None:
        """The next commands, all connections together, are these; waits for them."""
        until = self._seen + len(commands)
        try:
            await self.until(lambda: len(self._commands) >= until)
        except TimeoutError:
            pass
        seen = self._commands[self._seen : until]
        assert seen == list(commands), f"expected {list(commands)}, got {seen}; before: {self._commands}"
        self._seen = until

    def nothing_more(self) -> None:
        """No command came that was not expected."""
        assert self._commands[self._seen :] == []

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits for a condition on what was received; raises TimeoutError."""
        async with asyncio.timeout(DEADLINE), self._news:
            await self._news.wait_for(condition)

    # ---- inner workings

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(writer)
        self.links.append(link)
        try:
            assert await reader.readexactly(4) == MAGIC_V2
            while line := await reader.readline():
                if link.deaf:
                    continue
                await self._command(link, line.decode().rstrip("\n"), reader)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            link.gone.set()
            async with self._news:
                self._news.notify_all()

    async def _command(self, link: Link, line: str, reader: asyncio.StreamReader) -> None:
        verb = line.partition(" ")[0]
        if verb == "IDENTIFY":
            link.identify = json.loads(await _sized(reader))
        elif verb in ("PUB", "DPUB"):
            line += f" {self._body(await _sized(reader))}"
        elif verb == "AUTH":
            line += f" {(await _sized(reader)).decode()}"
        elif verb == "MPUB":
            await reader.readexactly(4)
            count = int.from_bytes(await reader.readexactly(4), "big")
            for _ in range(count):
                line += f" {self._body(await _sized(reader))}"
        if verb == "NOP":
            link.nops += 1
        else:
            link.commands.append(line)
            self._commands.append(line)
        self._react(link, verb)
        async with self._news:
            self._news.notify_all()

    def _body(self, data: bytes) -> str:
        self.bodies.append(data)
        return data.decode("utf-8", "replace")

    def _react(self, link: Link, verb: str) -> None:
        if self._scripts[verb]:
            self._scripts[verb].popleft()(link)
        elif verb in self._always:
            self._always[verb](link)
        elif verb == "IDENTIFY":
            link.send(RESPONSE, json.dumps(self.agreement).encode())
        elif verb == "AUTH":
            link.send(RESPONSE, b'{"identity":"","identity_url":"","permission_count":1}')
        elif verb in ("SUB", "PUB", "MPUB", "DPUB"):
            link.ok()
        elif verb == "CLS":
            link.send(RESPONSE, CLOSE_WAIT)


async def _sized(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
