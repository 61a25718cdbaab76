from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nsqclient import AuthRequired, ConnectError, ConnectionOptions, IdentifyRejected, NotNsqd
from nsqclient.connection import connection as connection_module
from nsqclient.connection import watch
from nsqclient.connection.connection import Connection, Refused
from nsqclient.connection.opening import open_connection
from nsqclient.connection.state import Event, Refusal
from nsqclient.connection.watch import Watch
from nsqcore.wire import commands
from nsqcore.wire.frames import MESSAGE, MESSAGE_HEAD, OK, RESPONSE, encode_frame
from tests.support.fake_nsqd import FakeNsqd, Link, drop, refuse, silence

OPTIONS = ConnectionOptions()
SUB = commands.encode_sub("t", "c")


class Recorder:
    """An owner that notes what it is told."""

    def __init__(self) -> None:
        self.payloads: list[list[bytes]] = []
        self.answers: list[bytes] = []
        self.refusals: list[Refusal] = []
        self.errors: list[ConnectError] = []
        self.writables = 0
        self.blocked: list[float] = []
        self.news = asyncio.Event()

    def messages_came(self, payloads: list[bytes]) -> None:
        self.payloads.append(payloads)
        self.news.set()

    def answered(self, data: bytes) -> None:
        self.answers.append(data)
        self.news.set()

    def refused(self, refusal: Refusal) -> None:
        self.refusals.append(refusal)
        self.news.set()

    def writable(self) -> None:
        self.writables += 1
        self.news.set()

    def blocked_for(self, seconds: float) -> None:
        self.blocked.append(seconds)
        self.news.set()

    def lost(self, error: ConnectError) -> None:
        self.errors.append(error)
        self.news.set()

    async def wait(self) -> None:
        async with asyncio.timeout(5):
            await self.news.wait()
        self.news.clear()


async def connect(nsqd: FakeNsqd, options: ConnectionOptions = OPTIONS) -> tuple[Connection, Recorder]:
    connection = await open_connection(nsqd.address, options)
    owner = Recorder()
    connection.attach(owner)
    return connection, owner


async def subscribe(nsqd: FakeNsqd) -> tuple[Connection, Recorder]:
    connection, owner = await connect(nsqd)
    assert await connection.ask(Event.SUB, SUB) == OK
    connection.advance(Event.RDY)
    connection.send(commands.encode_rdy(5))
    await nsqd.expect("IDENTIFY", "SUB t c", "RDY 5")
    return connection, owner


async def test_it_identifies_itself_and_keeps_what_is_agreed() -> None:
    async with FakeNsqd(max_rdy_count=7, msg_timeout=1500) as nsqd:
        connection, _ = await connect(nsqd, ConnectionOptions(client_id="me", heartbeat=2))
        assert nsqd.link.identify["client_id"] == "me"
        assert nsqd.link.identify["heartbeat_interval"] == 2000
        assert (connection.agreement.max_rdy_count, connection.agreement.msg_timeout) == (7, 1.5)
        await connection.end()


async def test_a_unix_socket_will_do(tmp_path: Path) -> None:
    async with FakeNsqd() as nsqd:
        path = str(tmp_path / "nsqd.sock")
        server = await asyncio.get_running_loop().create_unix_server(lambda: Link(nsqd), path)
        connection = await open_connection(f"unix:{path}", OPTIONS)
        assert connection.alive
        await connection.end()
        server.close()


async def test_nobody_there_is_a_connect_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(ConnectError, match=f"127.0.0.1:{port}: Connection refused") as caught:
            await open_connection(f"127.0.0.1:{port}", OPTIONS)
    assert caught.value.node == f"127.0.0.1:{port}"


async def test_no_answer_to_identify_is_a_connect_error() -> None:
    async with FakeNsqd() as nsqd:
        nsqd.script("IDENTIFY", silence)
        with pytest.raises(ConnectError, match="no answer to IDENTIFY"):
            await open_connection(nsqd.address, ConnectionOptions(handshake_timeout=0.05))
        async with asyncio.timeout(5):
            await nsqd.links[0].gone.wait()


async def test_dialing_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*args: object, **settings: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", never)
    with pytest.raises(ConnectError, match="connecting took too long"):
        await open_connection("127.0.0.1:1", ConnectionOptions(dial_timeout=0.01))


@pytest.mark.parametrize("node", ["a\0b:4150", f"{'x' * 80}.example:4150", "a..b:4150"])
async def test_a_host_that_can_not_be_one_is_a_connect_error(node: str) -> None:
    with pytest.raises(ConnectError):
        await open_connection(node, OPTIONS)


async def test_refused_options_are_told_apart() -> None:
    async with FakeNsqd() as nsqd:
        nsqd.script("IDENTIFY", refuse("E_BAD_BODY IDENTIFY msg timeout (1) is invalid"))
        with pytest.raises(IdentifyRejected, match="msg timeout"):
            await open_connection(nsqd.address, OPTIONS)
        nsqd.script("IDENTIFY", refuse("E_BAD_PROTOCOL"))
        with pytest.raises(NotNsqd):
            await open_connection(nsqd.address, OPTIONS)
        nsqd.script("IDENTIFY", drop)
        with pytest.raises(ConnectError):
            await open_connection(nsqd.address, OPTIONS)


async def test_a_nsqd_that_wants_a_secret_is_refused() -> None:
    async with FakeNsqd(auth_required=True) as nsqd:
        with pytest.raises(AuthRequired):
            await open_connection(nsqd.address, OPTIONS)
        async with asyncio.timeout(5):
            await nsqd.links[0].gone.wait()


async def test_an_http_port_is_recognised() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server:
        with pytest.raises(NotNsqd, match="HTTP port"):
            await open_connection(f"{host}:{port}", OPTIONS)


async def test_cancelling_leaves_nothing_open() -> None:
    async with FakeNsqd() as nsqd:
        nsqd.script("IDENTIFY", silence)
        task = asyncio.create_task(open_connection(nsqd.address, OPTIONS))
        await nsqd.expect("IDENTIFY")
        task.cancel()
        async with asyncio.timeout(5):
            await nsqd.links[0].gone.wait()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_connect_that_is_cancelled_as_it_comes_about_writes_nothing() -> None:
    """uvloop closes its transport then, and refuses to write to it."""

    class Closed(asyncio.Transport):
        def write(self, data: object) -> None:
            raise RuntimeError("the handler is closed")

        def abort(self) -> None:
            pass

    async def dial(node: str, factory: Callable[[], asyncio.Protocol], options: object) -> None:
        factory().connection_made(Closed())  # which sends the magic, when this turn of the loop ends
        raise asyncio.CancelledError

    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))
    with pytest.raises(asyncio.CancelledError):
        await open_connection("h:1", OPTIONS, dial)
    await asyncio.sleep(0)
    assert faults == []


async def test_a_nsqd_that_negotiates_nothing_is_fine() -> None:
    async with FakeNsqd() as nsqd:
        nsqd.script("IDENTIFY", Link.ok)
        connection, _ = await connect(nsqd)
        assert connection.agreement.max_rdy_count == 2500
        await connection.end()


async def test_heartbeats_are_answered() -> None:
    async with FakeNsqd() as nsqd:
        connection, owner = await connect(nsqd)
        nsqd.link.heartbeat()
        nsqd.link.heartbeat()
        await nsqd.until(lambda: nsqd.link.nops == 2)
        assert owner.answers == []
        await connection.end()


async def test_messages_of_one_read_come_together_and_in_order() -> None:
    async with FakeNsqd() as nsqd:
        connection, owner = await subscribe(nsqd)
        frames = [encode_frame(MESSAGE, MESSAGE_HEAD.pack(1, 1, b"%016d" % n) + b"%d" % n) for n in range(3)]
        nsqd.link.raw(b"".join(frames) + encode_frame(RESPONSE, b"CLOSE_WAIT") + frames[0])
        while not owner.answers or len(owner.payloads) < 2:
            await owner.wait()
        assert [[data[26:] for data in batch] for batch in owner.payloads] == [[b"0", b"1", b"2"], [b"0"]]
        await connection.end()


async def test_frames_may_come_in_pieces() -> None:
    async with FakeNsqd() as nsqd:
        connection, owner = await subscribe(nsqd)
        whole = encode_frame(MESSAGE, MESSAGE_HEAD.pack(1, 1, b"0" * 16) + b"body")
        for byte in whole:
            connection.data_received(bytes([byte]))
        assert owner.payloads == [[whole[8:]]]
        await connection.end()


async def test_what_is_sent_in_one_turn_leaves_in_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeNsqd() as nsqd:
        connection, _ = await subscribe(nsqd)
        transport = connection._transport
        assert transport is not None
        written: list[bytes] = []
        monkeypatch.setattr(connection, "_transport", transport_recording(transport, written))
        for n in range(3):
            connection.send(commands.encode_fin(b"%016d" % n))
        assert written == []
        await asyncio.sleep(0)
        assert len(written) == 1
        await nsqd.expect(*[f"FIN {n:016d}" for n in range(3)])
        await connection.end()


def transport_recording(transport: asyncio.Transport, written: list[bytes]) -> object:
    class Recording:
        def write(self, data: bytes) -> None:
            written.append(data)
            transport.write(data)

        def __getattr__(self, name: str) -> object:
            return getattr(transport, name)

    return Recording()


@pytest.mark.parametrize(
    ("bytes_sent", "reason"),
    [
        (struct.pack(">iI", 3, 0), "frame size 3"),
        (encode_frame(7, b""), "frame type 7"),
        (encode_frame(MESSAGE, b"x" * 30), "a message in phase identified"),
    ],
)
async def test_what_is_not_the_protocol_ends_the_connection(bytes_sent: bytes, reason: str) -> None:
    async with FakeNsqd() as nsqd:
        _, owner = await connect(nsqd)
        nsqd.link.raw(bytes_sent)
        await owner.wait()
        assert isinstance(owner.errors[0], NotNsqd)
        assert reason in str(owner.errors[0])


async def test_a_fatal_error_ends_the_connection_with_its_text() -> None:
    async with FakeNsqd() as nsqd:
        connection, owner = await connect(nsqd)
        nsqd.link.error("E_INVALID cannot RDY in current state")
        while not owner.errors:
            await owner.wait()
        assert [refusal.code for refusal in owner.refusals] == ["E_INVALID"]
        assert not connection.alive
        assert "cannot RDY" in str(owner.errors[0])


async def test_an_error_about_an_answer_is_survived() -> None:
    async with FakeNsqd() as nsqd:
        connection, owner = await subscribe(nsqd)
        nsqd.link.error("E_FIN_FAILED FIN 0123456789abcdef failed ID not in flight")
        await owner.wait()
        assert owner.refusals[0].message_id == b"0123456789abcdef"
        assert connection.alive
        await connection.end()


async def test_a_refused_question_raises_where_it_was_asked() -> None:
    async with FakeNsqd() as nsqd:
        connection, owner = await connect(nsqd)
        nsqd.script("SUB", refuse("E_SUB_FAILED SUB failed exiting"))
        with pytest.raises(Refused) as caught:
            await connection.ask(Event.SUB, SUB)
        assert caught.value.refusal.code == "E_SUB_FAILED"
        assert owner.refusals == []


async def test_the_end_of_the_connection_reaches_who_waits_for_an_answer() -> None:
    async with FakeNsqd() as nsqd:
        connection, owner = await connect(nsqd)
        nsqd.script("SUB", drop)
        with pytest.raises(ConnectError):
            await connection.ask(Event.SUB, SUB)
        assert len(owner.errors) == 1
        assert connection.closed.is_set()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is an end after 0.1 s, not counted in heartbeats."""

    def quick(heartbeat: float, silence: float, stall: float, now: float) -> Watch:
        return Watch(heartbeat, 0.1, stall, now)

    monkeypatch.setattr(watch, "GRACE", 0.01)
    monkeypatch.setattr(connection_module, "Watch", quick)


@pytest.mark.usefixtures("impatient")
async def test_silence_ends_the_connection() -> None:
    async with FakeNsqd() as nsqd:
        _, owner = await connect(nsqd)
        await owner.wait()
        assert "nothing came for 0.1" in str(owner.errors[0])


@pytest.mark.usefixtures("impatient")
async def test_heartbeats_keep_the_connection() -> None:
    async with FakeNsqd() as nsqd:
        connection, _ = await connect(nsqd)
        for _ in range(30):
            nsqd.link.heartbeat()
            await asyncio.sleep(0.01)
        await nsqd.until(lambda: nsqd.link.nops == 30)
        assert connection.alive
        await connection.end()


async def test_a_loop_that_stood_still_is_reported_and_does_not_count_as_silence() -> None:
    async with FakeNsqd() as nsqd:
        connection, owner = await connect(nsqd, ConnectionOptions(heartbeat=1))
        nsqd.link.heartbeat()
        time.sleep(2.1)  # noqa: ASYNC251 - that is what is tested
        await nsqd.until(lambda: nsqd.link.nops == 1)
        assert connection.alive
        [seconds] = owner.blocked
        assert 1.8 < seconds < 2.5
        await connection.end()


async def test_a_peer_that_takes_no_bytes_is_given_up() -> None:
    async with FakeNsqd() as nsqd:
        connection, owner = await connect(nsqd, ConnectionOptions(write_timeout=0.1))
        nsqd.link.stop_reading()
        for _ in range(16):
            connection.send(commands.encode_pub("t", b"x" * (1 << 20)))
        while not owner.errors:
            await owner.wait()
        assert "has taken no byte for 0.1 s" in str(owner.errors[0])


async def test_attaching_to_a_dead_connection_says_why() -> None:
    async with FakeNsqd() as nsqd:
        connection = await open_connection(nsqd.address, OPTIONS)
        nsqd.link.error("E_INVALID something")
        async with asyncio.timeout(5):
            await connection.closed.wait()
        with pytest.raises(ConnectError, match="E_INVALID something"):
            connection.attach(Recorder())


async def test_the_end_waits_until_everything_is_read() -> None:
    async with FakeNsqd() as nsqd:
        connection, owner = await subscribe(nsqd)
        for n in range(1000):
            connection.send(commands.encode_fin(b"%016d" % n))
        # unread input would turn a plain close into a reset, and the commands could be lost
        nsqd.link.raw(encode_frame(MESSAGE, MESSAGE_HEAD.pack(1, 1, b"0" * 16) + b"x" * 100_000) * 5)
        await connection.end()
        assert len(owner.errors) == 1
        await nsqd.expect(*[f"FIN {n:016d}" for n in range(1000)])


async def test_the_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "END_TIMEOUT", 0.05)
    async with FakeNsqd() as nsqd:
        connection, owner = await connect(nsqd)
        nsqd.link.stop_reading()
        for _ in range(100):
            connection.send(b"x" * (1 << 20))
        async with asyncio.timeout(5):
            await connection.end()
        assert len(owner.errors) == 1


async def test_a_peer_that_reads_slowly_is_noticed() -> None:
    async with FakeNsqd() as nsqd:
        connection, owner = await connect(nsqd)
        nsqd.link.stop_reading()
        for _ in range(16):
            connection.send(commands.encode_pub("t", b"x" * (1 << 20)))
        connection.flush()
        assert connection.blocked
        nsqd.link.resume_reading()
        while not owner.writables:
            await owner.wait()
        connection.abort(ConnectError(nsqd.address, "enough"))
        await owner.wait()
