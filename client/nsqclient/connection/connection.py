"""One connection to a nsqd: opening dialogue, heartbeats, frames in, commands out.

A protocol, not a pair of streams: a read hands over all frames it completed at once, and what is written
within one turn of the loop leaves in one piece.
"""

from __future__ import annotations

import asyncio
import os
from typing import Protocol, cast

from nsqclient.connection.options import ConnectionOptions
from nsqclient.connection.state import Agreement, Event, OutOfTurn, Phase, Refusal, advance, read_refusal
from nsqclient.discovery.dialing import Dial, dial_directly
from nsqclient.durations import to_seconds
from nsqclient.errors import AuthRequired, ConnectError, IdentifyRejected, NotNsqd
from nsqcore.wire import commands
from nsqcore.wire.frames import ERROR, HEARTBEAT, MAGIC_V2, MESSAGE, RESPONSE, FrameDecoder, FrameError

LARGEST_FRAME = 64 << 20
"""Bytes; nsqd's own limits are far below, and what exceeds it is no nsqd."""
GRACE = 0.5
"""Seconds granted to a connection found silent: the loop itself may have stood still, with bytes waiting."""
END_TIMEOUT = 0.5
"""Seconds to wait for nsqd's end of a connection that we ended in order."""


class Owner(Protocol):
    """Who uses a connection. Called from the loop; none of these may block."""

    def messages_came(self, payloads: list[bytes]) -> None:
        """Message frames that arrived together, in order."""

    def answered(self, data: bytes) -> None:
        """A response that nobody awaits with :meth:`Connection.ask`."""

    def refused(self, refusal: Refusal) -> None:
        """An error frame that nobody awaits; the connection is dead if it is fatal."""

    def writable(self) -> None:
        """The peer takes bytes again after it was :attr:`Connection.blocked`."""

    def lost(self, error: ConnectError) -> None:
        """The connection is gone; the last call."""


class Refused(Exception):
    """The answer to a command was an error frame."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal


class Connection(asyncio.Protocol):
    """An identified connection; made by :func:`open_connection`, then given to its user's :meth:`attach`."""

    def __init__(self, node: str, options: ConnectionOptions) -> None:
        self.node = node
        self.agreement = Agreement()
        self.phase = Phase.OPEN
        self.blocked = False
        """Whether the peer takes bytes more slowly than we write them."""
        self.closed = asyncio.Event()
        self._owner: Owner | None = None
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._decoder = FrameDecoder(max(LARGEST_FRAME, options.limits.max_msg_size + 64))
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._answer: asyncio.Future[bytes] | None = None
        self._error: ConnectError | None = None
        self._last_read = 0.0
        self._read_timeout = to_seconds(options.read_timeout)
        self._silence: asyncio.TimerHandle | None = None

    @property
    def alive(self) -> bool:
        """Whether commands may be sent."""
        return self.phase is not Phase.DEAD

    def attach(self, owner: Owner) -> None:
        """From now on ``owner`` hears what happens; raises ConnectError if it is dead already."""
        if not self.alive:
            raise self._error or ConnectError(self.node, "closed by nsqd")
        self._owner = owner

    # ---- commands out

    def advance(self, event: Event) -> None:
        """Notes that ``event`` is about to be sent; raises OutOfTurn."""
        self.phase = advance(self.phase, event)

    def send(self, data: bytes) -> None:
        """Adds to what leaves at the end of this turn of the loop; nothing happens once it is dead."""
        if not self._out:
            self._loop.call_soon(self.flush)
        self._out.append(data)

    def flush(self) -> None:
        """Hands what was gathered to the transport, whole."""
        out = self._out
        if out:
            self._out = []
            if self._transport is not None and self.phase is not Phase.DEAD:
                self._transport.write(out[0] if len(out) == 1 else b"".join(out))

    async def ask(self, event: Event, command: bytes) -> bytes:
        """Sends a command and waits for its answer.

        Raises Refused, and ConnectError when the connection ends first or no answer comes in time.
        """
        self.advance(event)
        self._answer = self._loop.create_future()
        self.send(command)
        try:
            async with asyncio.timeout(to_seconds(self._options.handshake_timeout)):
                data = await self._answer
        except TimeoutError:
            error = ConnectError(self.node, f"no answer to {event.value}")
            self.abort(error)
            raise error from None
        finally:
            self._answer = None
        return data

    # ---- its end

    def abort(self, error: ConnectError) -> None:
        """Ends it at once, for that reason; what was not written is not sent."""
        if self._error is None:
            self._error = error
        self.advance(Event.END)
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Ends it once what was sent has left."""
        self.flush()
        if self._error is None:
            self._error = ConnectError(self.node, "closed by this side")
        if self._transport is not None:
            self._transport.close()

    async def end(self) -> None:
        """Ends it once nsqd has read everything that was sent, or after ``END_TIMEOUT``.

        nsqd closes when it has read up to our end of the stream. Closing at once instead could reset the
        connection, if anything from nsqd is unread here, and commands still under way would be lost.
        """
        transport = self._transport
        if transport is None:
            return
        self.flush()
        try:
            if self.alive and transport.can_write_eof():
                self.advance(Event.END)
                transport.write_eof()
            else:
                self.close()
            async with asyncio.timeout(END_TIMEOUT):
                await self.closed.wait()
        except (TimeoutError, OSError):
            transport.abort()
            await self.closed.wait()

    # ---- called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = cast(asyncio.Transport, transport)
        self._last_read = self._loop.time()
        self._silence = self._loop.call_later(self._read_timeout, self._check_silence)
        self.send(MAGIC_V2)

    def data_received(self, data: bytes) -> None:
        """Sorts the frames that ``data`` completes."""
        self._last_read = self._loop.time()
        if not self.alive:
            return
        try:
            frames = self._decoder.feed(data)
        except FrameError as e:
            self.abort(NotNsqd(self.node, str(e)))
            return
        payloads = []
        for kind, payload in frames:
            if kind == MESSAGE:
                payloads.append(payload)
                continue
            if payloads:
                self._messages_came(payloads)
                payloads = []
            if kind == RESPONSE:
                if payload == HEARTBEAT:
                    self.send(commands.NOP)
                else:
                    self._answered(payload)
            elif kind == ERROR:
                self._refused(read_refusal(payload))
            else:
                self.abort(NotNsqd(self.node, f"frame type {kind} is unknown"))
            if self.phase is Phase.DEAD:
                return
        if payloads:
            self._messages_came(payloads)

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self.blocked = True

    def resume_writing(self) -> None:
        """The transport's buffer has room."""
        self.blocked = False
        if self.alive and self._owner is not None:
            self._owner.writable()

    def eof_received(self) -> None:
        """nsqd will send no more; the transport closes."""
        if self._error is None:
            self._error = ConnectError(self.node, "closed by nsqd")

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        error = self._error or ConnectError(self.node, str(exc) if exc else "closed by nsqd")
        self.advance(Event.END)
        self._transport = None
        self._out = []
        if self._silence is not None:
            self._silence.cancel()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        self.closed.set()
        if self._owner is not None:
            self._owner.lost(error)

    # ---- inner workings

    def _messages_came(self, payloads: list[bytes]) -> None:
        try:
            self.advance(Event.MESSAGE)
        except OutOfTurn as e:
            self.abort(NotNsqd(self.node, str(e)))
            return
        if self._owner is not None:
            self._owner.messages_came(payloads)

    def _answered(self, data: bytes) -> None:
        if self._answer is not None and not self._answer.done():
            self.advance(Event.ANSWER)
            self._answer.set_result(data)
        elif self._owner is not None:
            self._owner.answered(data)
        else:
            self.abort(NotNsqd(self.node, f"answer {data[:32]!r} to nothing"))

    def _refused(self, refusal: Refusal) -> None:
        if refusal.fatal:
            self.advance(Event.END)
            self._error = ConnectError(self.node, refusal.text)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Refused(refusal))
        elif self._owner is not None:
            self._owner.refused(refusal)
        if refusal.fatal and self._transport is not None:
            self._transport.abort()

    def _check_silence(self, grace: bool = True) -> None:
        silent = self._loop.time() - self._last_read
        if silent < self._read_timeout:
            left, again = self._read_timeout - silent, True
        elif grace:
            left, again = GRACE, False
        else:
            self.abort(ConnectError(self.node, f"nothing came for {silent:.1f} s"))
            return
        self._silence = self._loop.call_later(left, self._check_silence, again)


async def open_connection(node: str, options: ConnectionOptions, dial: Dial = dial_directly) -> Connection:
    """Connects to ``node`` and identifies; raises ConnectError. Cancelling it leaves nothing open."""
    connection = Connection(node, options)
    try:
        async with asyncio.timeout(to_seconds(options.dial_timeout)):
            await dial(node, lambda: connection, options)
    except TimeoutError:
        connection.close()
        raise ConnectError(node, "connecting took too long") from None
    except OSError as e:
        # asyncio words a refused connection as its own call; the system's words say more
        words = os.strerror(e.errno) if isinstance(e, ConnectionError) and e.errno else e.strerror
        raise ConnectError(node, words or str(e)) from e
    try:
        answer = await connection.ask(Event.IDENTIFY, commands.encode_identify(options.identify()))
        connection.agreement = Agreement.from_answer(answer)
        if connection.agreement.auth_required:
            raise AuthRequired(node, "nsqd requires AUTH, and no secret is configured")
    except Refused as e:
        connection.close()
        kind = NotNsqd if e.refusal.code == "E_BAD_PROTOCOL" else IdentifyRejected
        raise kind(node, e.refusal.text) from None
    except BaseException:
        connection.close()
        raise
    return connection
