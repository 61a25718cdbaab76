"""Connections over real sockets, on the loop that the daemon runs on."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import uvloop

from nsqcore import last_words
from nsqcore.connections import Connections
from nsqcore.listeners import KEEP_ALIVE_S, bind_tcp, serve
from nsqlookupd import connection as module
from nsqlookupd.connection import Connection
from nsqlookupd.registry import Registry
from nsqlookupd.state import Session
from tests.support.lookup import identify, split_answers

OK = b"\0\0\0\2OK"
MAGIC = b"  V1"


@dataclass
class Server:
    """A listener, and what stands behind it."""

    registry: Registry
    connections: Connections[Connection]
    made: list[Connection]
    address: tuple[str, int]

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.address)

    async def gone(self) -> None:
        await self.connections.none_left()


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    registry = Registry(inactive_after=10**12, tombstone_for=10**12, clock=lambda: 0)
    made: list[Connection] = []

    class Recorded(Connection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            made.append(self)

    def make() -> Connection:
        return Recorded(connections, lambda remote: Session(registry, remote, b"{}"))

    connections: Connections[Connection] = Connections()
    listener = bind_tcp("127.0.0.1:0")
    server = await serve(make, listener)
    # Accepted sockets inherit it: a client that does not read is soon one who has left too much unread.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
    host, port = listener.getsockname()
    try:
        yield Server(registry, connections, made, (host, port))
    finally:
        server.close()
        await connections.close(0.0)


def run(scenario: Callable[[Server], Awaitable[None]]) -> None:
    """Runs a scenario on uvloop, for at most 30 seconds."""

    async def main() -> None:
        async with asyncio.timeout(30), serving() as server:
            await scenario(server)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def test_a_client_is_served_and_forgotten_when_it_leaves(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    name = ""

    async def scenario(server: Server) -> None:
        nonlocal name
        reader, writer = await server.connect()
        host, port = writer.get_extra_info("sockname")
        name = f"{host}:{port}"
        writer.write(MAGIC + identify() + b"REGISTER t c\n")
        assert await reader.readexactly(6 + len(OK)) == b"\0\0\0\2{}" + OK
        assert [peer.remote_address for peer in server.registry.lookup("t") or []] == [name]
        writer.close()
        await writer.wait_closed()
        await server.gone()
        assert server.registry.lookup("t") == []

    run(scenario)
    events = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert events[0] == ("INFO", f"TCP: new client({name})")
    assert events[-5:] == [
        ("INFO", f"PROTOCOL(V1): [{name}] exiting ioloop"),
        ("INFO", f"DB: client({name}) UNREGISTER category:client key: subkey:"),
        ("INFO", f"DB: client({name}) UNREGISTER category:channel key:t subkey:c"),
        ("INFO", f"DB: client({name}) UNREGISTER category:topic key:t subkey:"),
        ("INFO", f"client({name}) - EOF"),
    ]


def test_a_reset_is_logged_as_an_error_and_forgets_the_client_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def scenario(server: Server) -> None:
        reader, writer = await server.connect()
        writer.write(MAGIC + identify())
        await reader.readexactly(6)
        linger_no_more = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_no_more)
        writer.transport.abort()
        await server.gone()
        assert server.registry.nodes() == []

    run(scenario)
    (error,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert error.endswith("- connection reset by peer")


def test_a_connection_that_stays_silent_is_cut(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MAGIC_DEADLINE_S", 0.05)

    async def scenario(server: Server) -> None:
        reader, writer = await server.connect()
        writer.write(MAGIC[:3])
        assert await reader.read() == b""
        writer.close()
        await server.gone()

    run(scenario)
    assert "i/o timeout" in caplog.text


def test_after_its_magic_a_connection_may_be_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAGIC_DEADLINE_S", 0.05)

    async def scenario(server: Server) -> None:
        first = await server.connect()
        first[1].write(MAGIC + b"PING\n")
        assert await first[0].readexactly(len(OK)) == OK
        second = await server.connect()
        assert await second[0].read() == b"", "the one that came later is cut"
        first[1].write(b"PING\n")
        assert await first[0].readexactly(len(OK)) == OK
        for _, writer in (first, second):
            writer.close()

    run(scenario)


def test_a_client_with_more_to_say_gets_its_refusal_whole_and_an_orderly_end() -> None:
    async def scenario(server: Server) -> None:
        reader, writer = await server.connect()
        writer.write(MAGIC + identify() + b"FOO\n")
        for _ in range(50):
            writer.write(b"REGISTER t c\n" * 1000)
        answers, rest = split_answers(await reader.read())
        assert (answers, rest) == ([b"{}", b"E_INVALID invalid command FOO"], b"")
        writer.close()
        await server.gone()

    run(scenario)


def test_a_refused_client_is_forgotten_at_once_and_cut_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_words, "LINGER_S", 0.05)

    async def scenario(server: Server) -> None:
        reader, writer = await server.connect()
        writer.write(MAGIC + identify() + b"REGISTER t c\n")
        await reader.readexactly(6 + len(OK))
        server.made[0].data_received(b"FOO\n")
        assert server.registry.nodes() == []
        assert server.registry.lookup("t") == []
        assert list(server.connections)
        await server.gone()  # although this client never closes
        writer.close()

    run(scenario)


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"IDENTIFY\n\0\0", b"E_BAD_BODY IDENTIFY failed to read body size"),
        (b"IDENTIFY\n\0\0\0\5{}", b"E_BAD_BODY IDENTIFY failed to read body"),
        (b"PING\nPING\n", b"OK"),
    ],
)
def test_a_client_that_only_ends_its_own_side_still_gets_its_answers(sent: bytes, answer: bytes) -> None:
    async def scenario(server: Server) -> None:
        reader, writer = await server.connect()
        writer.write(MAGIC + sent)
        writer.write_eof()
        answers, rest = split_answers(await reader.read())
        assert (answers[-1], rest) == (answer, b"")
        writer.close()
        await server.gone()

    run(scenario)


async def flood(server: Server, sock: socket.socket) -> int:
    """Sends PINGs and reads nothing, until nothing more is taken; returns the bytes that were."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    sock.setblocking(False)
    sock.sendall(MAGIC)
    sent = 0
    while not server.made or server.made[0]._transport.is_reading():
        try:
            sent += sock.send(b"PING\n" * 1000)
        except BlockingIOError:
            pass
        await asyncio.sleep(0)
    return sent


def test_from_a_client_that_does_not_read_nothing_more_is_taken() -> None:
    async def scenario(server: Server) -> None:
        loop = asyncio.get_running_loop()
        with socket.create_connection(server.address) as sock:
            sent = await flood(server, sock)
            transport = server.made[0]._transport
            assert transport.get_write_buffer_size() < 1 << 20
            expected = -(-sent // 5) * len(OK)
            received = 0
            while received < sent // 5 * len(OK):
                received += len(await loop.sock_recv(sock, 1 << 20))
            rest_of_the_last = b"PING\n"[len(b"PING\n") - -sent % 5 :]
            await loop.sock_sendall(sock, rest_of_the_last)
            while received < expected:
                received += len(await loop.sock_recv(sock, 1 << 20))
            assert received == expected, "whoever reads again has lost nothing"
        await server.gone()

    run(scenario)


def test_a_vanished_peer_is_asked_for_by_the_system() -> None:
    async def scenario(server: Server) -> None:
        reader, writer = await server.connect()
        writer.write(MAGIC + b"PING\n")
        await reader.readexactly(len(OK))
        sock = server.made[0]._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == KEEP_ALIVE_S
        writer.close()

    run(scenario)


# ---- closing all of them ----


def test_all_are_closed_the_silent_and_the_talking(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(server: Server) -> None:
        silent, talking = await server.connect(), await server.connect()
        talking[1].write(MAGIC + identify())
        await talking[0].readexactly(6)
        await server.connections.close(5.0)
        for reader, writer in (silent, talking):
            assert await reader.read() == b""
            writer.close()
        assert server.registry.nodes() == []

    run(scenario)
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def test_a_connection_that_is_made_while_all_are_closed_is_closed() -> None:
    async def scenario(server: Server) -> None:
        await server.connections.close(5.0)
        reader, writer = await server.connect()
        assert await reader.read() == b""
        writer.close()
        await server.gone()

    run(scenario)


def test_a_client_that_does_not_take_its_answers_is_cut_after_the_grace() -> None:
    async def scenario(server: Server) -> None:
        loop = asyncio.get_running_loop()
        with socket.create_connection(server.address) as sock:
            await flood(server, sock)
            started = loop.time()
            await server.connections.close(0.1)
            assert 0.05 < loop.time() - started < 5  # the loop counts in milliseconds, rounded

    run(scenario)
