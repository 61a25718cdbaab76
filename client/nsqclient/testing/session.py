"""One client's connection to a fake nsqd: its commands read, checked in nsqd's order, done and answered.

The dialogue is a generator that asks for the bytes it needs next. It knows no sockets: a session is an
asyncio protocol and does as well over TCP as over memory.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Generator
from typing import Protocol, cast

from nsqclient.testing.agreement import Agreement, Fatal, NodeOptions
from nsqclient.testing.clock import RESOLUTION
from nsqclient.testing.queues import Channel, Entry, Queues, Topic
from nsqclient.testing.record import fits, shown
from nsqcore.layers.deflate import Deflate
from nsqcore.layers.snappy import Snappy
from nsqcore.layers.tls_codec import SslEngine, TlsCodec
from nsqcore.layers.transport import Layers
from nsqcore.wire.frames import (
    ERROR,
    HEARTBEAT,
    MAGIC_V2,
    MESSAGE,
    MESSAGE_HEAD,
    OK,
    RESPONSE,
    encode_frame,
)

LONGEST_LINE = 16_384
"""Bytes of a command's line, its end included."""
HANDSHAKE_TIMEOUT = 5.0
"""Seconds for TLS."""
LINE = 0
"""In place of a number of bytes: a line is needed."""
Reading = Generator[int, bytes, None]
ReadingBytes = Generator[int, bytes, bytes]


class Minor(Exception):
    """An error frame that the connection survives."""


class Faults:
    """What is wrong with a node at present; its sessions look here."""

    def __init__(self) -> None:
        self.heal()

    def heal(self) -> None:
        """Nothing is wrong."""
        self.paused: bool = False
        """Nothing is read or said."""
        self.unheard: str = ""
        """Pattern of commands whose answers are made and lost; empty for none."""
        self.delay: float = 0.0
        """Seconds by which everything it says is late."""
        self.no_tls: bool = False
        """TLS is not granted, whatever the options say."""
        self.rate: float = 0.0
        """Bytes per second that it reads; 0 is any number."""
        self.refusals: list[tuple[str, str, int]] = []
        """Pattern of a command, text of the error, and how many times."""

    def refusal(self, command: str) -> str | None:
        """How this command is refused, if it is; counts."""
        for at, (pattern, text, times) in enumerate(self.refusals):
            if fits(command, pattern):
                self.refusals[at] = (pattern, text, times - 1)
                if times == 1:
                    del self.refusals[at]
                return text
        return None


class Home(Protocol):
    """The node, as its sessions see it."""

    options: NodeOptions
    queues: Queues
    faults: Faults

    def noted(self, session: Session, command: str) -> None:
        """A command came."""

    def stored(self, topic: str, bodies: list[bytes], delay: float) -> None:
        """Messages were published; ``delay`` in seconds."""

    def happened(self) -> None:
        """Something changed that a test may wait for."""

    def gone(self, session: Session) -> None:
        """The connection ended."""


Handlers = dict[bytes, Callable[["Session", list[bytes]], Reading | None]]
"""By verb: what is done with a session and the words of a line; those that read a body are generators."""


class Session(asyncio.Protocol):
    """A connection, from the magic to its end."""

    def __init__(self, home: Home, handlers: Handlers) -> None:
        self.agreement: Agreement = Agreement()
        self.in_flight = 0
        self.rdy = 0
        self.severed = False
        """Nothing goes through any more, in either direction, and neither end knows."""
        self.commands: list[str] = []
        self.nops = 0
        self.home = home
        self._handlers = handlers
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._dialogue = self._talk()
        self._need = next(self._dialogue)
        self._busy = False
        """An upgrade is under way: nothing is read."""
        self._ended = False
        self._unheard = False
        """The answer to the command under way is lost."""
        self.layered: bool = False
        self.closing = False
        self.secret: str | None = None
        self.topic: Topic | None = None
        self.channel: Channel | None = None
        self.line: str = ""
        """The command under way, as long as it was not noted."""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._last_command = self._loop.time()
        self._late: deque[tuple[float, bytes]] = deque()

    # ---- what channels ask

    @property
    def lease(self) -> float:
        """Seconds."""
        return self.agreement.lease

    @property
    def ready(self) -> bool:
        """Whether it takes a message now."""
        return self.in_flight < self.rdy and not (self.home.faults.paused or self._ended)

    @property
    def sampled_out(self) -> bool:
        """Whether it passes over the next message."""
        rate = self.agreement.sample_rate
        return rate > 0 and self.home.queues.chance() * 100 >= rate + 1

    def deliver(self, entry: Entry) -> None:
        """Sends the message."""
        head = MESSAGE_HEAD.pack(entry.timestamp, entry.attempts & 0xFFFF, entry.id.encode())
        self._send(MESSAGE, head + entry.body)

    def evict(self) -> None:
        """Its channel is gone."""
        self.channel = None
        self.drop()

    # ---- called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast(asyncio.Transport, transport)
        self._last_command = self._loop.time()
        self.beat()
        if self.home.faults.paused:
            self._transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Bytes of commands."""
        if self.severed or self._ended:
            return
        self._buffer += data
        rate = self.home.faults.rate
        if rate and self._transport is not None:
            self._transport.pause_reading()
            self._after("throttle", len(data) / rate, self.pace)
        self._go_on()

    def eof_received(self) -> bool:
        """The client sends no more: what it left incomplete is answered as such."""
        if not self.severed and not self._ended and not self._busy:
            self._advance(lambda: self._dialogue.throw(EOFError()))
        return self.severed

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._ended = True
        self._transport = None
        for timer in self._timers.values():
            timer.cancel()
        topic, channel, self.channel = self.topic, self.channel, None
        if topic is not None and channel is not None:
            self.home.queues.leave(topic, channel, self)
        self.home.gone(self)

    # ---- what the node does with it

    def drop(self) -> None:
        """Ends it as a crash would."""
        self._ended = True
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Ends it behind what was said."""
        self._ended = True
        if self._transport is not None:
            self._flush_late()
            self._transport.close()

    def pace(self) -> None:
        """Reads or not, as the node's faults say now."""
        if self._transport is not None and not self._transport.is_closing():
            if self.home.faults.paused:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()
                self._go_on()

    # ---- speaking

    def _send(self, kind: int, data: bytes) -> None:
        if self._transport is None or self.severed:
            return
        delay = self.home.faults.delay
        frame = encode_frame(kind, data)
        if delay or self._late:
            self._late.append((self._loop.time() + delay, frame))
            if len(self._late) == 1:
                self._after("late", delay, self._say_late)
        else:
            self._transport.write(frame)

    def _say_late(self) -> None:
        now = self._loop.time() + RESOLUTION
        while self._late and self._late[0][0] <= now:
            frame = self._late.popleft()[1]
            if self._transport is not None and not self.severed:
                self._transport.write(frame)
        if self._late:
            self._after("late", self._late[0][0] - self._loop.time(), self._say_late)

    def _flush_late(self) -> None:
        while self._late and self._transport is not None:
            self._transport.write(self._late.popleft()[1])

    def answer(self, data: bytes = OK) -> None:
        """A response frame."""
        if not self._unheard:
            self._send(RESPONSE, data)

    def _error(self, text: str) -> None:
        if not self._unheard:
            self._send(ERROR, text.encode("utf-8", "surrogateescape"))

    # ---- time

    def _after(self, what: str, delay: float, call: Callable[[], object]) -> None:
        if what in self._timers:
            self._timers[what].cancel()
        self._timers[what] = self._loop.call_later(delay, call)

    def beat(self) -> None:
        """Heartbeats begin anew, as agreed."""
        if self.agreement.heartbeat:
            self._after("heartbeat", self.agreement.heartbeat, self._heartbeat)
            self._after("deadline", 2 * self.agreement.heartbeat, self._check_deadline)

    def _heartbeat(self) -> None:
        if not self.home.faults.paused:
            self._send(RESPONSE, HEARTBEAT)
        self._after("heartbeat", self.agreement.heartbeat, self._heartbeat)

    def _check_deadline(self) -> None:
        left = self._last_command + 2 * self.agreement.heartbeat - self._loop.time()
        if left > RESOLUTION or self.home.faults.paused or self.severed:
            self._after("deadline", max(left, self.agreement.heartbeat), self._check_deadline)
        else:
            self.close()

    # ---- listening

    def _go_on(self) -> None:
        while not (self._ended or self._busy or self.home.faults.paused):
            taken = self._take()
            if taken is None:
                return
            self._advance(lambda taken=taken: self._dialogue.send(taken))  # type: ignore[misc]

    def _take(self) -> bytes | None:
        if self._need != LINE:
            end = self._need
            if len(self._buffer) < end:
                return None
        else:
            end = self._buffer.find(b"\n") + 1
            if not 0 < end <= LONGEST_LINE:
                if end or len(self._buffer) >= LONGEST_LINE:
                    self.close()
                return None
        taken = bytes(self._buffer[:end])
        del self._buffer[:end]
        return taken

    def _advance(self, step: Callable[[], int]) -> None:
        try:
            self._need = step()
        except (StopIteration, EOFError):
            self.close()

    def _talk(self) -> Reading:
        if (yield len(MAGIC_V2)) != MAGIC_V2:
            self._error("E_BAD_PROTOCOL")
            return
        while True:
            line = yield LINE
            self._last_command = self._loop.time()
            self._unheard = False
            words = line[:-1].removesuffix(b"\r").split(b" ")
            self.line = shown(b" ".join(words))
            try:
                yield from self._command(words)
            except Minor as e:
                self._error(str(e))
            except Fatal as e:
                if self.line:
                    self._note(self.line)
                self._error(str(e))
                return
            finally:
                self.home.happened()

    def _command(self, words: list[bytes]) -> Reading:
        verb = text(words[0])
        if self.home.options.tls_required and not self.agreement.tls and verb != "IDENTIFY":
            raise Fatal(f"E_INVALID cannot {verb} in current state (TLS required)")
        handler = self._handlers.get(words[0])
        if handler is None:
            raise Fatal(f"E_INVALID invalid command {verb}")
        work = handler(self, words)
        if work is not None:
            yield from work

    def noted(self, command: str) -> None:
        """The command is complete: it is on record, and may have to be refused."""
        self.line = ""
        self._note(command)
        unheard = self.home.faults.unheard
        self._unheard = bool(unheard) and fits(command, unheard)
        refusal = self.home.faults.refusal(command)
        if refusal is not None:
            if re.match("E_(FIN|REQ|TOUCH)_FAILED", refusal):
                raise Minor(refusal.replace("*", f"{command} ".split(" ")[1]))
            raise Fatal(refusal)

    def _note(self, command: str) -> None:
        self.commands.append(command)
        self.home.noted(self, command)

    def upgrade(self, agreed: Agreement) -> None:
        """Puts in the layers that were agreed on, each told by an OK through it."""
        raw = self._transport
        if raw is None:
            return
        self._flush_late()
        self.layered = self._busy = True
        layers = self._transport = Layers(self)
        layers.take_over(raw, blocked=False)
        behind = bytes(self._buffer)
        self._buffer.clear()

        def compress(error: Exception | None = None) -> None:
            self._busy = False
            if error is not None:
                self._error(f"E_IDENTIFY_FAILED IDENTIFY failed {error}")
                self.close()
                return
            if agreed.tls:
                self.answer()
            if agreed.snappy or agreed.deflate_level:
                layers.push(
                    Snappy() if agreed.snappy else Deflate(agreed.deflate_level),
                    b"" if agreed.tls else behind,
                )
                self.answer()
            self._loop.call_soon(self._go_on)

        context = self.home.options.tls
        if agreed.tls and context is not None:
            layers.handshake(TlsCodec(SslEngine(context)), HANDSHAKE_TIMEOUT, compress, behind)
        else:
            compress()


def text(word: bytes) -> str:
    """A word, in a way that gives the same bytes again."""
    return word.decode("utf-8", "surrogateescape")
