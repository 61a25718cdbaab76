"""One connection to a nsqd: opening dialogue, heartbeats, frames in, commands out.

A protocol, not a pair of streams: a read hands over all frames it completed at once, and what is written
within one turn of the loop leaves in one piece.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

from nsqclient.connection.first_frames import FirstFrames
from nsqclient.connection.options import ConnectionOptions
from nsqclient.connection.state import (
    Agreement,
    Event,
    Identity,
    OutOfTurn,
    Phase,
    Refusal,
    advance,
    read_refusal,
)
from nsqclient.connection.watch import Watch
from nsqclient.durations import to_seconds
from nsqclient.errors import AuthRejected, ConnectError, NotNsqd
from nsqcore.wire import commands
from nsqcore.wire.frames import (
    ERROR,
    HEARTBEAT,
    MAGIC_V2,
    MESSAGE,
    OK,
    OK_FRAME,
    RESPONSE,
    FrameDecoder,
    FrameError,
)

if TYPE_CHECKING:
    from nsqclient.connection.layering import ClientLayers
    from nsqcore.layers.codec import Codec, CodecError, HandshakeCodec

LARGEST_FRAME = 64 << 20
"""Bytes; nsqd's own limits are far below, and what exceeds it is no nsqd."""
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

    def blocked_for(self, seconds: float) -> None:
        """The event loop stood still for so long that heartbeats may have gone unanswered."""

    def lost(self, error: ConnectError) -> None:
        """The connection is gone; the last call."""


class Refused(Exception):
    """The answer to a command was an error frame."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal


class Connection(asyncio.Protocol):
    """An identified connection; made by ``open_connection``, then given to its user's :meth:`attach`."""

    def __init__(self, node: str, options: ConnectionOptions) -> None:
        self.node = node
        self.agreement: Agreement = Agreement()
        self.identity: Identity | None = None
        """Who we are to nsqd, where it wanted a secret."""
        self.layers: tuple[str, ...] = ()
        """What lies between here and the transport, such as ``TLS1.3`` and ``snappy``."""
        self.phase: Phase = Phase.OPEN
        self.blocked: bool = False
        """Whether the peer takes bytes more slowly than we write them."""
        self.closed: asyncio.Event = asyncio.Event()
        self._owner: Owner | None = None
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._decoder: FrameDecoder | FirstFrames = FirstFrames()
        self._transport: asyncio.Transport | None = None
        self._layers: ClientLayers | None = None
        self._out: list[bytes] = []
        self._acknowledged: Callable[[int], None] | None = None
        self._answer: asyncio.Future[bytes] | None = None
        self._error: ConnectError | None = None
        self._last_read = 0.0
        self._look: asyncio.TimerHandle | None = None
        self._unsent = 0
        """Bytes that the transport had not got rid of when we looked last."""
        self._added = 0
        """Bytes given to it since then, counted only while there are such."""

    @property
    def alive(self) -> bool:
        """Whether commands may be sent."""
        return self.phase is not Phase.DEAD

    @property
    def takes_bytes(self) -> bool:
        """Whether what is sent now has a chance: it is alive, not blocked, and no write has failed."""
        transport = self._transport
        return (
            not self.blocked
            and self.phase is not Phase.DEAD
            and transport is not None
            and not transport.is_closing()
        )

    def attach(self, owner: Owner, acknowledged: Callable[[int], None] | None = None) -> None:
        """From now on ``owner`` hears what happens; raises ConnectError if it is dead already.

        ``acknowledged`` is told the number of OKs that come together; without it each is an answer.
        """
        if not self.alive:
            raise self._error or ConnectError(self.node, "closed by nsqd")
        self._owner = owner
        self._acknowledged = acknowledged

    # ---- commands out

    def advance(self, event: Event) -> None:
        """Notes that ``event`` is about to be sent; raises OutOfTurn."""
        self.phase = advance(self.phase, event)

    def send(self, data: bytes) -> None:
        """Adds to what leaves at the end of this turn of the loop; nothing happens once it is dead."""
        if not self._out:
            self._loop.call_soon(self.flush)
        self._out.append(data)

    def send_now(self, data: bytes) -> None:
        """Hands it to the transport, behind what was gathered; nothing happens once it is dead."""
        if self._out:
            self._out.append(data)
            self.flush()
        else:
            self._hand_over(data)

    def flush(self) -> None:
        """Hands what was gathered to the transport, whole."""
        out = self._out
        if out:
            self._out = []
            self._hand_over(out[0] if len(out) == 1 else b"".join(out))

    def _hand_over(self, data: bytes) -> None:
        if self._transport is not None and self.phase is not Phase.DEAD:
            if self._unsent:
                self._added += len(data)
            self._transport.write(data)

    async def written(self) -> None:
        """Until all that was sent has left for the system, or the connection is gone.

        The transport tells of no moment but a buffer gone from full to half empty, so it is asked.
        """
        self.flush()
        pause = 0.001
        while self._transport is not None and self._transport.get_write_buffer_size():
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.05)

    async def ask(self, event: Event, command: bytes) -> bytes:
        """Sends a command and waits for its answer.

        Raises Refused, and ConnectError when the connection ends first or no answer comes in time.
        """
        return await self._answer_to(event, lambda: self.send(command))

    async def _answer_to(self, event: Event, begin: Callable[[], None]) -> bytes:
        if self.phase is Phase.DEAD:
            raise self._error or ConnectError(self.node, "closed by nsqd")
        self.advance(event)
        self._answer = self._loop.create_future()
        if isinstance(self._decoder, FirstFrames):
            self._decoder.go_on()
        begin()
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

    # ---- the opening dialogue

    async def shake_hands(self, codec: HandshakeCodec) -> None:
        """Adds a layer that has to come about first, and waits for nsqd's OK inside it; raises as :meth:`ask`."""
        await self._expect_ok(Event.TLS, lambda: self._begin_handshake(codec))
        self.layers += (codec.agreed().version,)

    async def compress(self, name: str, codec: Codec) -> None:
        """Adds a layer, and waits for nsqd's OK inside it; raises as :meth:`ask`."""
        await self._expect_ok(
            Event.COMPRESSION, lambda: self._layering().push(codec, self._take_behind_answer())
        )
        self.layers += (name,)

    def opened(self) -> None:
        """The opening dialogue is over: from now on frames are read as fast as they come."""
        behind = self._take_behind_answer()
        self._decoder = FrameDecoder(max(LARGEST_FRAME, self._options.limits.max_msg_size + 64))
        if behind:
            self.data_received(behind)

    async def _expect_ok(self, event: Event, begin: Callable[[], None]) -> None:
        answer = await self._answer_to(event, begin)
        if answer != OK:
            raise NotNsqd(self.node, f"answer {answer[:32]!r} to {event.value}")

    def _begin_handshake(self, codec: HandshakeCodec) -> None:
        timeout = to_seconds(self._options.handshake_timeout)
        self._layering().handshake(codec, timeout, self._handshake_done, self._take_behind_answer())

    def _handshake_done(self, error: Exception | None) -> None:
        if error is not None:
            words = "the handshake took too long" if isinstance(error, TimeoutError) else str(error)
            self.abort(ConnectError(self.node, words))

    def _layering(self) -> ClientLayers:
        if self._layers is None:
            from nsqclient.connection.layering import ClientLayers

            if self._transport is None:
                raise self._error or ConnectError(self.node, "closed by nsqd")
            self._layers = ClientLayers(self, self._unreadable)
            self._layers.take_over(self._transport, blocked=self.blocked)
            self._transport = self._layers
        return self._layers

    def _unreadable(self, error: CodecError) -> None:
        self.abort(ConnectError(self.node, str(error)))

    def _take_behind_answer(self) -> bytes:
        return self._decoder.take() if isinstance(self._decoder, FirstFrames) else b""

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
        options = self._options
        watch = Watch(
            options.heartbeat_interval,
            options.longest_silence,
            to_seconds(options.write_timeout),
            self._last_read,
        )
        self._look = self._loop.call_later(watch.period, self._look_after, watch)
        self.send(MAGIC_V2)

    def data_received(self, data: bytes) -> None:
        """Sorts the frames that ``data`` completes."""
        self._last_read = self._loop.time()
        if not self.alive:
            return
        if self._acknowledged is not None and data.startswith(OK_FRAME) and self._answer is None:
            if data == OK_FRAME and isinstance(self._decoder, FrameDecoder) and self._decoder.whole:
                self._acknowledged(1)
                return
            data = self._take_oks(data)
            if not data or not self.alive:
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

    def _take_oks(self, data: bytes) -> bytes:
        """Counts the OKs that ``data`` begins with, all at once if there is nothing else; returns the rest."""
        assert isinstance(self._decoder, FrameDecoder)
        assert self._acknowledged is not None
        count = len(data) // len(OK_FRAME)
        end = count * len(OK_FRAME)
        if not self._decoder.whole or data[:end] != OK_FRAME * count:
            return data
        self._acknowledged(count)
        return data[end:]

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
        self._transport = self._layers = None
        self._out = []
        if self._look is not None:
            self._look.cancel()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        self.closed.set()
        if self._owner is not None:
            self._owner.lost(error)

    # ---- inner workings

    def _messages_came(self, payloads: list[bytes]) -> None:
        if self.phase is not Phase.SUBSCRIBED:
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
            kind = AuthRejected if refusal.about_auth else ConnectError
            self._error = kind(self.node, refusal.text)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Refused(refusal))
        elif self._owner is not None:
            self._owner.refused(refusal)
        if refusal.fatal and self._transport is not None:
            self._transport.abort()

    def _look_after(self, watch: Watch) -> None:
        if self._transport is None:
            return
        unsent, now = self._transport.get_write_buffer_size(), self._loop.time()
        look = watch.look(now, self._last_read, unsent, self._added)
        self._unsent, self._added = unsent, 0
        if look.stood_still and self._owner is not None:
            self._owner.blocked_for(look.stood_still)
        if look.fault:
            self.abort(ConnectError(self.node, look.fault))
        else:
            self._look = self._loop.call_later(look.again, self._look_after, watch)
