"""A transport above a transport: a stack of codecs between a socket and its protocol.

::

    protocol  <-- pieces --  codec n ... codec 1  <-- bytes --  socket
              -- write  -->                       -- one write per turn of the loop -->

To the protocol this is its transport, to the socket's transport its protocol. What is written in one turn of
the loop is encoded together, so that batches stay batches. What is read is decoded in bounded pieces, and in a
bounded amount per turn: however far a peer's bytes unfold, memory is bounded and others have the loop.
A connection that negotiated nothing has none of this: it sits on its socket directly.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from typing import Any, cast

from nsqcore.addresses import format_peer
from nsqcore.layers.codec import Codec, CodecError, EndOfStream, HandshakeCodec
from nsqcore.layers.stack import Stack

log = logging.getLogger(__name__)

READ_PER_TURN = 1 << 20
"""Decoded bytes that the protocol gets in one go, some 3 ms of work; then others have the loop."""
ENCODE_PER_TURN = 128 * 1024
"""Bytes that are encoded in one go: 4 ms of deflate."""
RAW_HIGH_WATER = 256 * 1024
"""Encoded bytes that wait in the socket's transport before nothing more is encoded."""
MOST_REPLIES = 1 << 20
"""Encoded bytes that may wait for a peer that makes a codec reply and does not read; then it is cut off."""

Done = Callable[[Exception | None], None]
Data = bytes | bytearray | memoryview


class Layers(asyncio.Transport, asyncio.Protocol):
    """Sits between the transport of a socket and ``protocol``.

    A server factory can return one: a subclass then overrides :meth:`connection_made` to push what it needs and
    to make the protocol's connection. A connection that is upgraded calls :meth:`take_over` instead.
    """

    def __init__(self, protocol: asyncio.Protocol, extra: dict[str, object] | None = None) -> None:
        """``extra`` is what :meth:`get_extra_info` tells beside and before the socket's transport."""
        super().__init__()
        self._told = extra or {}
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._stack = Stack(self._check_handshake, self._say)
        # Reading
        self._input: list[bytes] = []  # not decoded yet
        self._pieces: Iterator[bytes] | None = None  # what is being decoded
        self._going_on = False
        self._paused = False  # by the protocol
        self._raw_reading = True
        self._heard_all = False
        self._told_all = False  # the protocol knows that nothing more comes
        # Writing
        self._out: list[bytes | memoryview] = []
        self._out_size = 0
        self._flushing = False
        self._raw_blocked = False
        self._blocked = False  # the protocol was told not to write
        self._high, self._low = 65536, 16384
        self._closing = False
        self._ended = False  # no more is written
        self._finished = False  # and all of it is with the socket's transport
        # A handshake under way
        self._shaking: HandshakeCodec | None = None
        self._shaken: Done | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket's transport is there; the protocol is not told."""
        self._raw = cast(asyncio.Transport, transport)
        self._raw.set_write_buffer_limits(high=min(self._high, RAW_HIGH_WATER))

    def take_over(self, transport: asyncio.Transport, *, blocked: bool) -> None:
        """Puts itself between ``transport`` and its protocol, which may be reading slowly: ``blocked`` tells."""
        self._raw_blocked = self._blocked = blocked
        transport.set_protocol(self)
        self.connection_made(transport)

    # -- the stack ---------------------------------------------------------------------------------

    def push(self, codec: Codec, behind: bytes = b"") -> None:
        """One codec more, next to the protocol. What was written before goes out without it.

        ``behind`` are bytes that the protocol got already and that are the first for the codec.
        """
        while self._out:
            self._encode(self._out_size)
        self._stack.push(codec)
        if not self._closing:
            self._told_all = False  # an end that was told was that of the codecs below
        if behind:
            pieces = self._stack.decode_last(behind)
            self._pieces = pieces if self._pieces is None else chain(pieces, self._pieces)
            self._go_on_soon()

    def handshake(self, codec: HandshakeCodec, timeout: float, done: Done, behind: bytes = b"") -> None:
        """As :meth:`push`; ``done`` is told when the codec is ready to carry data, or why it will never be.

        After ``timeout`` seconds it is told TimeoutError; CodecError says what the peer did wrong, EOFError
        that it went. The codec is gone then: what is written goes out in the clear, and nothing more is read.
        Not told when the connection is closed or lost. Meanwhile what is written waits.
        """
        self._shaking, self._shaken = codec, done
        self._stack.watched = True
        self._deadline = self._loop.call_later(timeout, self._fail_handshake, TimeoutError("i/o timeout"))
        self.push(codec, behind)
        self._stack.reply()  # a client speaks first
        self._check_handshake()

    def _check_handshake(self) -> None:
        codec, done = self._shaking, self._shaken
        if codec is not None and done is not None and codec.handshaken:
            self._forget_handshake()
            self._stack.reply()
            done(None)
            self._flush_soon()

    def _fail_handshake(self, error: Exception) -> None:
        done = self._shaken
        self._stack.reply()
        self._forget_handshake()
        self._stack.pop()
        self._deafen()
        if done is not None:
            done(error)

    def _forget_handshake(self) -> None:
        self._shaking = self._shaken = None
        self._stack.watched = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    # -- reading: the socket's protocol ------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes from the socket."""
        if self._told_all or self._heard_all:
            return
        self._input.append(data)
        if not self._going_on and not self._paused:
            self._read()

    def eof_received(self) -> bool:
        """The peer sends no more: the protocol is told behind everything that came."""
        self._heard_all = True
        if self._told_all:
            if self._finished:
                self._raw.close()
        elif not self._going_on and not self._paused:
            self._read()
        return True

    def _go_on_soon(self) -> None:
        if not self._going_on:
            self._going_on = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._going_on = False
        if not self._paused:
            self._read()

    def _read(self) -> None:
        """Gives the protocol what there is, up to :data:`READ_PER_TURN` bytes, and sends its answers."""
        left = READ_PER_TURN
        # Answers leave at the end of this, and not in the next turn: that would be a poll more for each.
        flushing, self._flushing = self._flushing, True
        try:
            while not self._paused and not self._told_all:
                if self._pieces is None:
                    if not self._input:
                        if self._heard_all:
                            self._tell_all()
                        break
                    data = self._input.pop() if len(self._input) == 1 else b"".join(self._input)
                    self._input.clear()
                    self._pieces = self._stack.decode(data)
                piece = next(self._pieces, None)
                if piece is None:
                    self._pieces = None
                    continue
                self._protocol.data_received(piece)
                left -= len(piece)
                if left <= 0:
                    self._go_on_soon()
                    break
        except EndOfStream:
            self._stack.reply()
            self._tell_all()
        except CodecError as e:
            if self._shaking is not None:  # who wanted it says so
                self._fail_handshake(e)
            else:
                self.codec_failed(e)
                self._stack.reply()
                self._tell_all()
        finally:
            self._flushing = flushing
            if not flushing and (self._out or self._blocked):
                self._flush()
        self._pace()

    def codec_failed(self, error: CodecError) -> None:
        """The peer sent what a codec can't read: the protocol will be told that nothing more comes.

        Logged as a server does it; a client's side overrides this.
        """
        log.error("client(%s) - %s, closing", format_peer(self.get_extra_info("peername")), error)

    def _tell_all(self) -> None:
        """Nothing more comes for the protocol."""
        if self._told_all:
            return
        if self._shaking is not None:
            self._fail_handshake(EOFError("EOF"))
            return
        self._deafen()
        if not self._protocol.eof_received():
            self.close()

    def _deafen(self) -> None:
        """From now on what comes in is thrown away."""
        self._told_all = True
        self._input.clear()
        self._pieces = None

    def _pace(self) -> None:
        """Reads from the socket unless the protocol wants no more, or there is more than enough to decode."""
        reading = self._told_all or not (self._paused or self._going_on)
        if reading != self._raw_reading and not self._raw.is_closing():
            self._raw_reading = reading
            if reading:
                self._raw.resume_reading()
            else:
                self._raw.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._closing = self._ended = self._finished = True
        self._forget_handshake()
        self._deafen()
        self._drop_output()
        self._stack.clear()  # 300 KB of zlib, and this: nothing here waits for the garbage collector
        protocol, self._protocol = self._protocol, asyncio.Protocol()
        protocol.connection_lost(exc)

    # -- reading: the protocol's transport ---------------------------------------------------------

    def is_reading(self) -> bool:
        """Whether the protocol gets what comes in."""
        return not self._paused and not self._closing

    def pause_reading(self) -> None:
        """The protocol gets nothing more until :meth:`resume_reading`, from the next piece on."""
        self._paused = True
        self._pace()

    def resume_reading(self) -> None:
        """The protocol gets on what was held back, and what comes, in the next turn of the loop."""
        if self._paused:
            self._paused = False
            if self._pieces is not None or self._input or self._heard_all:
                self._go_on_soon()
            self._pace()

    # -- writing -----------------------------------------------------------------------------------

    def write(self, data: Data) -> None:
        """Sends ``data`` behind what was written before, encoded together with what else is written this turn."""
        if self._ended and not self._closing:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._closing or not data:
            return
        self._out.append(data if type(data) is bytes else bytes(data))
        self._out_size += len(data)
        if not self._flushing:
            self._flush_soon()
        if self._out_size > self._high and not self._blocked:
            self._blocked = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[Data]) -> None:
        """Sends these in order."""
        self.write(b"".join(list_of_data))

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._raw_blocked or self._shaking is not None:
            return
        if self._out:
            self._encode(ENCODE_PER_TURN)
            if self._out:
                self._flush_soon()
        if self._ended and not self._out:
            self._finish()
        if self._blocked:
            self._check_low_water()

    def _encode(self, limit: int) -> None:
        """Sends up to ``limit`` bytes of what was written."""
        out = self._out
        if self._out_size <= limit:
            data = out[0] if len(out) == 1 else b"".join(out)
            out.clear()
        else:
            data = self._take(limit)
        self._out_size -= len(data)
        self._raw.write(self._stack.encode(bytes(data)))

    def _take(self, limit: int) -> bytes:
        """The first ``limit`` bytes of more; what is left is not copied, however long it is."""
        out, size, count = self._out, 0, 0
        while size + len(out[count]) <= limit:
            size += len(out[count])
            count += 1
        first = memoryview(out[count])
        data = b"".join([*out[:count], first[: limit - size]])
        out[: count + 1] = [first[limit - size :]]
        return data

    def _say(self, data: bytes) -> None:
        """Sends what a codec says itself."""
        if not self._finished:
            self._raw.write(data)
            if self._raw_blocked and self._raw.get_write_buffer_size() > MOST_REPLIES:
                self.abort()

    def pause_writing(self) -> None:
        """The socket takes no more for now: nothing more is encoded."""
        self._raw_blocked = True

    def resume_writing(self) -> None:
        """The socket caught up."""
        self._raw_blocked = False
        self._flush_soon()

    def _check_low_water(self) -> None:
        if not self._raw_blocked and self._out_size <= self._low and not self._closing:
            self._blocked = False
            self._protocol.resume_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As of any transport: ``pause_writing`` above ``high`` bytes, ``resume_writing`` from ``low`` on."""
        if high is None:
            high = 65536 if low is None else 4 * low
        if low is None:
            low = high // 4
        if not 0 <= low <= high:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low
        self._raw.set_write_buffer_limits(high=min(high, RAW_HIGH_WATER))

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Low and high water."""
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        """Bytes that the peer has not been sent: those not encoded yet, and those encoded."""
        return self._out_size + self._raw.get_write_buffer_size()

    # -- the end -----------------------------------------------------------------------------------

    def can_write_eof(self) -> bool:
        """It can."""
        return True

    def write_eof(self) -> None:
        """Ends our side behind what was written; what the peer sends still comes."""
        if not self._ended:
            self._ended = True
            self._end_soon()

    def close(self) -> None:
        """Sends what was written, then closes; the protocol gets nothing more. A handshake is given up."""
        if self._closing:
            return
        self._closing = self._ended = True
        if self._shaking is not None:
            self._forget_handshake()
            self._drop_output()
            self._stack.pop()
        self._deafen()
        self._pace()
        self._end_soon()

    def _end_soon(self) -> None:
        if self._out:
            self._flush_soon()
        else:
            self._finish()

    def _finish(self) -> None:
        """All that was written is encoded: ends our side, and the connection when the other has ended too."""
        if not self._finished:
            self._stack.end()
            self._finished = True
            if not self._closing and not self._heard_all:
                with suppress(OSError, RuntimeError):  # the peer is gone already
                    self._raw.write_eof()
        if self._closing or self._heard_all:
            self._raw.close()

    def abort(self) -> None:
        """Closes at once; what is not sent is lost."""
        self._closing = self._ended = self._finished = True
        self._forget_handshake()
        self._deafen()
        self._drop_output()
        self._raw.abort()

    def _drop_output(self) -> None:
        self._out.clear()
        self._out_size = 0

    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""
        return self._closing or self._raw.is_closing()

    # -- the rest of a transport -------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What this transport was told to tell, else what the socket's tells."""
        return self._told[name] if name in self._told else self._raw.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Another protocol takes over, from the next piece on."""
        self._protocol = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who is above."""
        return self._protocol
