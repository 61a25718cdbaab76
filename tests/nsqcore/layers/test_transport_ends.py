"""The transport above a transport: handshakes, and every kind of end."""

from __future__ import annotations

import asyncio
import os

import pytest

from nsqcore.layers.codec import CodecError
from nsqcore.layers.deflate import Deflate
from nsqcore.layers.snappy import Snappy
from nsqcore.layers.transport import Layers
from tests.support.layered import Above, Bench, Shaking, Socket, Tagged, turns
from tests.support.nsqd import eventually

# -- handshakes ------------------------------------------------------------------------------------


class Handshake(Bench):
    """A codec that has to agree with the peer."""

    def __init__(self, timeout: float = 60.0, behind: bytes = b"") -> None:
        super().__init__()
        self.done: list[Exception | None] = []
        self.pushed: Tagged | None = None
        self.layers.write(b"clear")
        self.layers.handshake(Shaking("s"), timeout, self._done, behind)

    def _done(self, error: Exception | None) -> None:
        self.done.append(error)
        self.layers.write(b"OK" if error is None else b"sorry")
        if self.pushed is not None:
            self.layers.push(self.pushed)
            self.layers.write(b"OK")


async def test_a_handshake_is_told_of_and_what_was_written_meanwhile_waits_for_it() -> None:
    bench = Handshake()
    assert bench.socket.writes == [b"clear"]
    bench.layers.write(b"early")
    bench.layers.data_received(b"h")
    await turns(2)
    assert (bench.done, bench.socket.writes) == ([], [b"clear"])
    bench.layers.data_received(b"ix")
    await turns()
    assert bench.done == [None]
    assert bench.socket.writes == [b"clear", b"<s:ho>", b"<s:earlyOK>"]
    assert bench.above.heard == b"x"


async def test_bytes_that_came_before_the_handshake_belong_to_it() -> None:
    bench = Handshake(behind=b"hix")
    await turns(2)
    assert (bench.done, bench.above.heard) == ([None], b"x")


async def test_a_codec_pushed_when_the_handshake_is_done_gets_what_came_with_its_end() -> None:
    bench = Handshake()
    bench.pushed = Tagged("t")
    bench.layers.data_received(b"hix?")
    await turns()
    assert bench.above.heard == b"x"
    assert bench.socket.written.startswith(b"clear<s:ho><s:OK>")
    assert bench.socket.written.endswith(b"<s:<t:OK>>")


@pytest.mark.parametrize(("sent", "said"), [(b"hello", "impolite"), (b"x", "impolite")])
async def test_a_handshake_that_fails_leaves_clear_text(sent: bytes, said: str) -> None:
    bench = Handshake()
    bench.layers.data_received(sent + b"whatever")
    await turns()
    (error,) = bench.done
    assert isinstance(error, CodecError)
    assert str(error) == said
    assert bench.socket.writes == [b"clear", b"<s:alert>", b"sorry"]
    bench.layers.data_received(b"hi")
    assert bench.above.heard == b""
    bench.layers.write_eof()
    assert bench.socket.eof
    bench.layers.eof_received()
    assert bench.socket.is_closed()
    assert len(bench.done) == 1


async def test_a_handshake_has_its_time() -> None:
    bench = Handshake(timeout=0.01)
    await eventually(lambda: bool(bench.done))
    assert isinstance(bench.done[0], TimeoutError)
    await turns()
    assert bench.socket.writes == [b"clear", b"sorry"]
    bench.layers.data_received(b"hi")
    assert (len(bench.done), bench.above.heard) == (1, b"")


async def test_a_peer_that_goes_during_its_handshake_fails_it() -> None:
    bench = Handshake()
    bench.layers.data_received(b"h")
    bench.layers.eof_received()
    assert isinstance(bench.done[0], EOFError)
    await turns()
    bench.layers.write_eof()
    assert bench.socket.is_closed()
    assert bench.above.eofs == 0


@pytest.mark.parametrize("end", ["close", "abort", "lost"])
async def test_nobody_is_told_of_a_handshake_that_ends_with_the_connection(end: str) -> None:
    bench = Handshake(timeout=0.01)
    bench.layers.write(b"early")
    if end == "lost":
        bench.layers.connection_lost(None)
    else:
        getattr(bench.layers, end)()
    await asyncio.sleep(0.02)
    assert (bench.done, bench.socket.written) == ([], b"clear")


# -- the end ---------------------------------------------------------------------------------------


async def test_close_sends_what_was_written_and_says_goodbye_from_the_top() -> None:
    bench = Bench(Tagged("a"), Tagged("b"))
    bench.layers.write(b"last")
    bench.layers.close()
    assert bench.layers.is_closing()
    bench.layers.close()
    bench.layers.write(b"too late")
    bench.layers.data_received(b"too late")
    assert not bench.socket.is_closed()
    await turns()
    assert bench.socket.written == b"<a:<b:last>><a:</b>></a>"
    assert bench.socket.is_closed()
    assert bench.above.heard == b""


async def test_close_waits_for_a_socket_that_is_full() -> None:
    bench = Bench(Deflate(6))
    data = os.urandom(300_000)
    bench.layers.write(data)
    bench.layers.pause_writing()
    bench.layers.close()
    await turns(5)
    assert not bench.socket.is_closed()
    bench.layers.resume_writing()
    await turns(5)
    assert bench.socket.is_closed()
    assert b"".join(Deflate(6).decode(bench.socket.written)) == data


async def test_write_eof_ends_one_side_only() -> None:
    bench = Bench(Tagged("a"))
    assert bench.layers.can_write_eof()
    bench.layers.write(b"last")
    bench.layers.write_eof()
    bench.layers.write_eof()
    with pytest.raises(RuntimeError, match="after write_eof"):
        bench.layers.write(b"x")
    await turns()
    assert (bench.socket.written, bench.socket.eof) == (b"<a:last></a>", True)
    bench.layers.data_received(b"still?")
    assert bench.above.heard == b"still"
    bench.layers.eof_received()
    assert (bench.above.eofs, bench.socket.is_closed()) == (1, False)
    bench.layers.close()
    assert bench.socket.is_closed()


async def test_abort_drops_everything_at_once() -> None:
    bench = Bench(Tagged("a"))
    bench.layers.write(b"x")
    bench.layers.abort()
    assert (bench.socket.aborted, bench.layers.get_write_buffer_size()) == (True, 0)
    await turns()
    bench.layers.write(b"x")
    bench.layers.close()
    assert bench.socket.writes == []
    bench.layers.connection_lost(None)
    assert bench.above.lost == [None]


async def test_a_protocol_that_does_not_stay_behind_the_end_is_closed_behind_its_answers() -> None:
    bench = Bench(Tagged("a"))
    bench.above.stays = False
    bench.layers.write(b"answer")
    assert bench.layers.eof_received()
    assert (bench.above.eofs, bench.socket.is_closed()) == (1, False)
    await turns()
    assert (bench.socket.is_closed(), bench.socket.written) == (True, b"<a:answer></a>")


@pytest.mark.parametrize("last", [b"!", b"."])
async def test_an_error_and_the_end_of_a_stream_are_the_end_of_what_comes(
    last: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(Tagged("a"))
    bench.layers.data_received(b"ab" + last + b"cd")
    bench.layers.data_received(b"ef")
    bench.layers.eof_received()
    assert (bench.above.heard, bench.above.eofs) == (b"ab", 1)
    assert bench.socket.written == (b"<a:alert>" if last == b"!" else b"")
    said = [record.getMessage() for record in caplog.records]
    assert said == (["client(10.0.0.1:1234) - an exclamation mark, closing"] if last == b"!" else [])
    bench.layers.write(b"answer")
    bench.layers.close()
    await turns()
    assert bench.socket.is_closed()
    assert bench.socket.written.endswith(b"<a:answer></a>")


async def test_a_lost_connection_is_passed_on_and_its_codecs_let_go() -> None:
    bench = Bench(Deflate(6))
    bench.layers.write(b"x")
    error = OSError("gone")
    bench.layers.connection_lost(error)
    await turns()
    assert (bench.above.lost, bench.socket.writes, bench.layers._stack._codecs) == ([error], [], [])


async def test_extra_info_is_the_sockets_and_the_layers_own() -> None:
    layers = Layers(Above(), {"sslcontext": "ours"})
    layers.connection_made(Socket())
    assert layers.get_extra_info("peername") == ("10.0.0.1", 1234)
    assert layers.get_extra_info("sslcontext") == "ours"
    assert layers.get_extra_info("nothing") is None
    assert layers.get_extra_info("nothing", 7) == 7


async def test_streams_work_on_both_ends_of_a_real_connection() -> None:
    """asyncio's own protocol above the layers, half-closed and all."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read()
        writer.write(data)
        await writer.drain()
        writer.write_eof()
        writer.close()
        await writer.wait_closed()

    class Stacked(Layers):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.push(Deflate(1))
            self.push(Snappy())
            self._protocol.connection_made(self)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Stacked(asyncio.StreamReaderProtocol(asyncio.StreamReader(), echo)), "127.0.0.1", 0
    )
    async with server:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.create_connection(
            lambda: Stacked(protocol), *server.sockets[0].getsockname()
        )
        layers = transport.get_protocol()
        assert isinstance(layers, Stacked)
        writer = asyncio.StreamWriter(layers, protocol, reader, loop)
        data = os.urandom(1 << 20) + bytes(8 << 20)
        writer.write(data)
        await writer.drain()
        writer.write_eof()
        assert await reader.read() == data
        writer.close()
        await writer.wait_closed()
