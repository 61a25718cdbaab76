"""Conversations with a real nsqd, kept as text and played again without it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from nsqclient.durations import Seconds
from nsqclient.testing.conversation import Said, frame_of, of_client, of_nsqd, read, write
from nsqclient.testing.decoder import Command, CommandDecoder, NotACommand
from nsqclient.testing.record import matches
from nsqclient.testing.scripted import Link, ScriptedNsqd
from nsqcore.addresses import parse_host_port
from nsqcore.wire.frames import HEARTBEAT, MAGIC_V2, RESPONSE, FrameDecoder, FrameError

LAYERS = (b'"tls_v1":true', b'"snappy":true', b'"deflate":true')
"""How nsqd says that what follows can't be read."""


class CantRecord(Exception):
    """The connection is encrypted or compressed, or not nsqd's protocol: what is said can't be read."""


class Recorder:
    """A proxy before a real nsqd that writes down what is said.

    ::

        async with Recorder("127.0.0.1:4150") as recorder:
            async with Producer(recorder.address) as producer:
                await producer.publish("t", b"x")
        recorder.save(Path("publish.txt"))

    Several connections are kept one after the other, in the order in which they were made. Let the client
    neither encrypt nor compress: :meth:`text` raises CantRecord otherwise.
    """

    def __init__(self, nsqd: str) -> None:
        """``nsqd`` is ``host:port``."""
        self.nsqd = nsqd
        self.address: str = ""
        """``127.0.0.1:port``, for the client."""
        self._taps: list[_Tap] = []
        self._links: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._listener.sockets[0].getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listener is not None:
            self._listener.close()
        for link in self._links:
            link.cancel()
        if self._links:
            await asyncio.wait(self._links)

    @property
    def conversations(self) -> list[list[Said]]:
        """What was said so far, by connection; raises CantRecord."""
        for tap in self._taps:
            if tap.failure:
                raise CantRecord(tap.failure)
        return [list(tap.said) for tap in self._taps]

    def text(self) -> str:
        """All of it as text, connections one after the other, each under a remark."""
        parts = enumerate(self.conversations, 1)
        return "\n".join(f"# connection {number}\n{write(said)}" for number, said in parts)

    def save(self, path: Path) -> None:
        """Writes :meth:`text` to a file."""
        path.write_text(self.text(), "utf-8")

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tap = _Tap()
        self._taps.append(tap)
        link = asyncio.get_running_loop().create_task(self._link(tap, reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _link(self, tap: _Tap, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        try:
            there, back = await asyncio.open_connection(*parse_host_port(self.nsqd))
            writers.append(back)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(_pump(reader, back, tap.from_client))
                pumps.create_task(_pump(there, writer, tap.from_nsqd))
        except* OSError:
            pass  # a side is gone, and so is the link
        finally:
            for each in writers:
                each.transport.abort()


async def _pump(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, note: Callable[[bytes], object]
) -> None:
    while data := await source.read(64 << 10):
        note(data)
        sink.write(data)
        await sink.drain()
    sink.write_eof()


class _Tap:
    """Reads both directions of one connection."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        self.failure = ""
        self._agreed = False
        """nsqd has answered IDENTIFY, or whatever came first."""
        self._head = b""
        self._commands = CommandDecoder()
        self._frames = FrameDecoder()

    def from_client(self, data: bytes) -> None:
        missing = len(MAGIC_V2) - len(self._head)
        self._head += data[:missing]
        if self.failure or not data[missing:]:
            return
        try:
            commands = self._commands.feed(data[missing:])
        except NotACommand as e:
            self.failure = f"the client says what can't be read: {e}"
            return
        self.said += (of_client(command) for command in commands if command.verb != "NOP")

    def from_nsqd(self, data: bytes) -> None:
        if not self._agreed and any(layer in data for layer in LAYERS):
            self.failure = "the connection is encrypted or compressed"
        if self.failure:
            return
        try:
            frames = self._frames.feed(data)
        except FrameError as e:
            self.failure = f"nsqd says what can't be read: {e}"
            return
        self._agreed = self._agreed or bool(frames)
        self.said += (of_nsqd(kind, data) for kind, data in frames if (kind, data) != (RESPONSE, HEARTBEAT))


class Replay(ScriptedNsqd):
    """A nsqd that says again what a recorded one said, as far as the client says what it said then.

    ::

        async with Replay(Path("publish.txt").read_text()) as nsqd, Producer(nsqd) as producer:
            await producer.publish("t", b"x")
            await nsqd.finished()

    Each ``# connection`` of the text is played to one connection, in their order. What nsqd said is sent once
    all that the client had said before has come. A command that the text has not at that place ends the
    connection, and :meth:`finished` raises.
    """

    def __init__(self, text: str) -> None:
        """Raises BadConversation."""
        super().__init__()
        self._waiting = _by_connection(text)[::-1]
        self._open: dict[Link, list[Said]] = {}
        self._wrong = ""

    async def finished(self, timeout: Seconds = 5.0) -> None:
        """All of it was said, by both sides; raises AssertionError when it was not, or something else."""

        def all_said() -> bool:
            assert not self._wrong, self._wrong
            return not self._waiting and not any(self._open.values())

        await self.news.until(all_said, timeout, self._missing)

    def _missing(self) -> str:
        left = [write(said).rstrip() for said in [*self._open.values(), *reversed(self._waiting)] if said]
        return "was not said:\n{}".format("\n# connection\n".join(left))

    def came(self, link: Link, command: Command) -> None:
        """A command is complete."""
        if command.verb == "NOP":
            link.nops += 1
            return
        if link not in self._open:
            self._open[link] = self._waiting.pop() if self._waiting else []
        said = self._open[link]
        expected = said[0].text if said else "nothing more"
        text = of_client(command).text
        if not said or not matches(text, expected):
            self._wrong = self._wrong or f"the client said {text!r} where the recorded one said {expected!r}"
            link.drop()
        else:
            del said[0]
            while said and said[0].who == "<":
                link.send(*frame_of(said.pop(0).text))
        self.news.tell()


def _by_connection(text: str) -> list[list[Said]]:
    parts = [""]
    for line in text.split("\n"):
        if line.startswith("# connection"):
            parts.append("")
        parts[-1] += f"{line}\n"
    return [said for part in parts if (said := read(part))]
