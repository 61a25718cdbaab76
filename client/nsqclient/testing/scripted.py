"""A nsqd that does as a test tells it: the real protocol, answers from a script."""

from __future__ import annotations

import asyncio
import errno
import json
from collections import defaultdict, deque
from collections.abc import Callable
from types import TracebackType
from typing import Self, cast

from nsqclient.discovery.dialing import DialOptions
from nsqclient.discovery.targets import Nsqd
from nsqclient.durations import Seconds
from nsqclient.testing import memory
from nsqclient.testing.clock import News
from nsqclient.testing.decoder import Command, CommandDecoder, NotACommand
from nsqclient.testing.record import Commands
from nsqcore.version import NSQ_VERSION
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

AGREEMENT: dict[str, object] = {
    "max_rdy_count": 2500,
    "version": NSQ_VERSION,
    "max_msg_timeout": 900000,
    "msg_timeout": 60000,
    "auth_required": False,
}
"""The answer to IDENTIFY, unless a test wants another."""


AUTHORIZED = b'{"identity":"","identity_url":"","permission_count":1}'
"""The answer to AUTH."""


class Link(asyncio.Protocol):
    """One client's connection to a :class:`ScriptedNsqd`."""

    def __init__(self, home: ScriptedNsqd) -> None:
        self.commands: list[str] = []
        self.identify: dict[str, object] = {}
        """What the client asked for."""
        self.nops = 0
        self.deaf = False
        """Reads on, and does nothing any more: what nsqd's clients see after a fatal error."""
        self.gone: asyncio.Event = asyncio.Event()
        self._home = home
        self._head = b""
        self._decoder = CommandDecoder()
        self._transport: asyncio.Transport | None = None

    # ---- what it says

    def send(self, kind: int, data: bytes) -> None:
        """Sends a frame of that kind."""
        self.raw(encode_frame(kind, data))

    def raw(self, data: bytes) -> None:
        """Bytes that need not be frames."""
        if self._transport is not None:
            self._transport.write(data)

    def ok(self) -> None:
        """Answers ``OK``."""
        self.send(RESPONSE, OK)

    def heartbeat(self) -> None:
        """A heartbeat, which the client answers with NOP."""
        self.send(RESPONSE, HEARTBEAT)

    def error(self, text: str) -> None:
        """An error frame; what follows is up to the caller."""
        self.send(ERROR, text.encode())

    def message(self, body: bytes, *, message_id: str, attempts: int = 1, timestamp: int = 1) -> None:
        """A message; ``timestamp`` is Unix nanoseconds."""
        self.send(MESSAGE, MESSAGE_HEAD.pack(timestamp, attempts, message_id.encode()) + body)

    def drop(self) -> None:
        """Ends the connection as a crash would."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Ends it in order."""
        if self._transport is not None:
            self._transport.close()

    def stop_reading(self) -> None:
        """Takes no bytes any more, so that the client's pile up."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Takes them again."""
        if self._transport is not None:
            self._transport.resume_reading()

    # ---- called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast(asyncio.Transport, transport)
        self._home.links.append(self)

    def data_received(self, data: bytes) -> None:
        """Bytes of commands."""
        missing = len(MAGIC_V2) - len(self._head)
        self._head += data[:missing]
        try:
            if not MAGIC_V2.startswith(self._head):
                raise NotACommand("another protocol's magic")
            commands = self._decoder.feed(data[missing:])
        except NotACommand:
            self.drop()
            return
        for command in commands:
            if not self.deaf:
                self._home.came(self, command)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._transport = None
        self.gone.set()
        self._home.news.tell()


Reaction = Callable[[Link], None]
"""What a connection does when a command comes."""


def silence(link: Link) -> None:
    """Gives no answer."""


def ok(link: Link) -> None:
    """Gives the answer ``OK``."""
    link.ok()


def drop(link: Link) -> None:
    """The connection breaks."""
    link.drop()


def refuse(text: str) -> Reaction:
    """A fatal error: nothing is read after it."""

    def react(link: Link) -> None:
        link.error(text)
        link.deaf = True

    return react


class ScriptedNsqd:
    """One nsqd that holds no messages and says what a test wants, when it wants it.

    ::

        async with ScriptedNsqd() as nsqd, Consumer("t", "c", nsqd, max_in_flight=5) as consumer:
            await nsqd.expect("IDENTIFY", "SUB t c", "RDY 5")
            nsqd.message(b"x")
            (await consumer.get()).finish()
            await nsqd.expect("FIN *")

    Give it in place of addresses, as a FakeCluster; :meth:`listen` makes it reachable over TCP as well.
    What is not scripted is answered as a healthy nsqd does. NOP is counted, not recorded: it comes at any time.
    """

    def __init__(self, **agreement: object) -> None:
        """``agreement`` changes the answer to IDENTIFY."""
        self.agreement: dict[str, object] = {**AGREEMENT, **agreement}
        self.links: list[Link] = []
        """All connections ever made, oldest first."""
        self.bodies: list[bytes] = []
        """Of all messages that were published, as they came."""
        self.news: News = News()
        self.address = "nsqd.test:4150"
        self._scripts: defaultdict[str, deque[Reaction]] = defaultdict(deque)
        self._always: dict[str, Reaction] = {}
        self._seen = 0
        self._commands: list[str] = []
        self._up = True
        self._listener: asyncio.Server | None = None
        self._next_id = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def target(self) -> Nsqd:
        """What stands for it where a target is wanted; the library asks for it."""
        return _Target(self)

    async def stop(self) -> None:
        """Drops all connections; connecting is refused."""
        self._up = False
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for link in self.links:
            link.drop()
        for link in self.links:
            await link.gone.wait()

    async def start(self) -> None:
        """Connecting works again, after :meth:`stop`."""
        self._up = True

    async def listen(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listens for clients over TCP, too; returns where, ``host:port``."""
        self._listener = await asyncio.get_running_loop().create_server(lambda: Link(self), host, port)
        return "{}:{}".format(*self._listener.sockets[0].getsockname()[:2])

    async def connect(self, protocol: asyncio.Protocol) -> None:
        """Connects a client's protocol over memory; raises OSError as a socket would."""
        await asyncio.sleep(0)
        if not self._up:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        memory.connect(protocol, Link(self))

    # ---- script

    def script(self, verb: str, *reactions: Reaction) -> None:
        """The next commands ``verb`` are answered so, one after the other; after that as ever."""
        self._scripts[verb].extend(reactions)

    def always(self, verb: str, reaction: Reaction) -> None:
        """From now on ``verb`` is answered so."""
        self._always[verb] = reaction

    @property
    def link(self) -> Link:
        """The newest connection that is there."""
        return [link for link in self.links if not link.gone.is_set()][-1]

    def message(self, body: bytes = b"x", *, message_id: str = "", attempts: int = 1) -> str:
        """Sends a message on the newest connection; returns its ID, 16 characters."""
        if not message_id:
            self._next_id += 1
            message_id = f"{self._next_id:016x}"
        self.link.message(body, message_id=message_id, attempts=attempts)
        return message_id

    # ---- what clients did

    @property
    def commands(self) -> Commands:
        """Everything received so far, NOPs left out."""
        return Commands(self._commands)

    @property
    def verbs(self) -> list[str]:
        """The same, without arguments."""
        return self.commands.verbs

    async def expect(self, *patterns: str, timeout: Seconds = 5.0) -> None:
        """The next commands, all connections together, match these; waits for them, in real time.

        Raises AssertionError that shows what came instead.
        """
        until = self._seen + len(patterns)

        def unlike() -> str:
            seen = self.commands[self._seen : until]
            return f"expected {list(patterns)}, got {seen!r}; before: {self.commands[: self._seen]!r}"

        def arrived() -> bool:
            came = self.commands[self._seen : until]
            assert came == patterns[: len(came)], unlike()
            return len(came) == len(patterns)

        await self.news.until(arrived, timeout, unlike)
        self._seen = until

    def nothing_more(self) -> None:
        """No command came that was not expected."""
        more = self.commands[self._seen :]
        assert not more, f"not expected: {more!r}"

    async def until(self, condition: Callable[[], bool], timeout: Seconds = 5.0) -> None:
        """Waits for a condition on what was received; raises AssertionError after ``timeout`` real seconds."""
        await self.news.until(condition, timeout, lambda: f"it did not come true: {self.commands!r}")

    # ---- called by links

    def came(self, link: Link, command: Command) -> None:
        """A command is complete."""
        verb = command.verb
        if verb == "IDENTIFY":
            try:
                link.identify = json.loads(command.bodies[0])
            except ValueError:
                link.identify = {}
        elif verb in ("PUB", "DPUB", "MPUB"):
            self.bodies += command.bodies
        if verb == "NOP":
            link.nops += 1
        else:
            link.commands.append(command.text)
            self._commands.append(command.text)
        self._react(link, verb)
        self.news.tell()

    def _react(self, link: Link, verb: str) -> None:
        if self._scripts[verb]:
            self._scripts[verb].popleft()(link)
        elif verb in self._always:
            self._always[verb](link)
        elif verb == "IDENTIFY":
            link.send(RESPONSE, json.dumps(self.agreement).encode())
        elif verb == "AUTH":
            link.send(RESPONSE, AUTHORIZED)
        elif verb in ("SUB", "PUB", "MPUB", "DPUB"):
            link.ok()
        elif verb == "CLS":
            link.send(RESPONSE, CLOSE_WAIT)


class _Target(Nsqd):
    """A scripted nsqd, by its address."""

    def __init__(self, nsqd: ScriptedNsqd) -> None:
        super().__init__(nsqd.address)
        self._nsqd = nsqd

    async def dial(self, node: str, factory: Callable[[], asyncio.Protocol], options: DialOptions) -> None:
        """Over memory."""
        await self._nsqd.connect(factory())
