"""The opening dialogue with nsqds that refuse, lie, stall and dawdle."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nsqclient import (
    AuthRejected,
    CompressionRefused,
    ConfigError,
    ConnectError,
    ConnectionOptions,
    Consumer,
    NotNsqd,
    Tls,
    TlsFailed,
    TlsRefused,
)
from nsqclient.connection.connection import Connection
from nsqclient.connection.first_frames import MOST, FirstFrames
from nsqclient.connection.opening import open_connection
from nsqclient.connection.state import Event
from nsqclient.discovery.dialing import DialOptions, dial_directly
from nsqcore.layers.deflate import Deflate
from nsqcore.wire import commands
from nsqcore.wire.frames import ERROR, HEARTBEAT, OK, RESPONSE, FrameError, encode_frame
from tests.support.auth_server import ALL, AuthServer, permissions
from tests.support.cancellation import at_each_wait
from tests.support.fake_nsqd import AGREEMENT, FakeNsqd, Link, Reaction, drop, refuse, silence
from tests.support.nsqd import Node, eventually
from tests.support.tls import Authority

ANYBODY = Tls(verify=False)


def answers(*frames: bytes, **agreement: object) -> Reaction:
    """Reacts to IDENTIFY: agrees, sends what is given, and listens no more."""

    def react(link: Link) -> None:
        link.send(RESPONSE, json.dumps({**AGREEMENT, **agreement}).encode())
        link.raw(b"".join(frames))
        link.deaf = True

    return react


async def refused(nsqd: FakeNsqd, **settings: object) -> ConnectError:
    """Why no connection comes about; nothing of it is left."""
    with pytest.raises(ConnectError) as caught:
        await open_connection(nsqd.address, ConnectionOptions(**settings))  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        await nsqd.links[-1].gone.wait()
    return caught.value


# ---- what is asked, and what is not done without


async def test_what_is_not_wanted_is_not_asked_for() -> None:
    async with FakeNsqd() as nsqd:
        connection = await open_connection(nsqd.address, ConnectionOptions())
        asked = nsqd.link.identify
        assert not {"tls_v1", "snappy", "deflate", "deflate_level", "topology_zone"} & set(asked)
        assert not {"short_id", "long_id"} & set(asked)
        await connection.end()


async def test_what_is_wanted_is_asked_for() -> None:
    async with FakeNsqd() as nsqd:
        await refused(nsqd, tls=ANYBODY, compress="deflate:3")
        asked = nsqd.links[0].identify
        assert (asked["tls_v1"], asked["deflate"], asked["deflate_level"]) == (True, True, 3)


async def test_nothing_follows_where_tls_is_refused() -> None:
    async with FakeNsqd(auth_required=True) as nsqd:
        error = await refused(nsqd, tls=ANYBODY, auth="hush")
        assert isinstance(error, TlsRefused)
        assert nsqd.links[0].commands == ["IDENTIFY"]


async def test_a_nsqd_that_negotiates_nothing_has_no_tls_either() -> None:
    async with FakeNsqd() as nsqd:
        nsqd.always("IDENTIFY", Link.ok)
        assert isinstance(await refused(nsqd, tls=ANYBODY), TlsRefused)
        assert isinstance(await refused(nsqd, compress="snappy"), CompressionRefused)


async def test_a_secret_that_is_refused_is_not_repeated() -> None:
    async with FakeNsqd(auth_required=True) as nsqd:
        nsqd.script("AUTH", refuse("E_AUTH_ERROR AUTH error hush is wrong"))
        error = await refused(nsqd, auth="hush")
        assert isinstance(error, AuthRejected)
        assert "hush" not in str(error)
        assert "E_AUTH_ERROR" in str(error)


@pytest.mark.parametrize(
    ("greeting", "kind", "words"),
    [(b"", ConnectError, "closed by nsqd"), (b"SSH-2.0-OpenSSH_9.6", NotNsqd, "frame size 1397966893")],
)
async def test_one_that_ends_or_talks_before_it_is_asked_anything_is_given_up(
    greeting: bytes, kind: type[ConnectError], words: str
) -> None:
    def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        writer.close()

    async def dial(node: str, factory: Callable[[], asyncio.Protocol], options: DialOptions) -> None:
        connection = factory()
        assert isinstance(connection, Connection)
        await dial_directly(node, lambda: connection, options)
        await connection.closed.wait()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        with pytest.raises(kind, match=words):
            await open_connection(f"{host}:{port}", ConnectionOptions(), dial)


async def test_permissions_lost_in_mid_connection_end_it_as_such() -> None:
    async with FakeNsqd() as nsqd:
        connection = await open_connection(nsqd.address, ConnectionOptions())
        nsqd.link.error("E_UNAUTHORIZED AUTH failed for PUB")
        async with asyncio.timeout(5):
            await connection.closed.wait()
        assert isinstance(connection._error, AuthRejected)


async def test_a_smaller_limit_of_nsqd_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeNsqd(max_msg_size=1000) as nsqd:
        connection = await open_connection(nsqd.address, ConnectionOptions())
        assert connection.agreement.max_msg_size == 1000
        await connection.end()
    assert "takes messages of up to 1000 bytes" in caplog.text


async def test_without_heartbeats_nobody_consumes() -> None:
    for never in (None, -1):
        options = ConnectionOptions(heartbeat=never)
        assert options.identify()["heartbeat_interval"] == -1
        with pytest.raises(ConfigError, match="needs heartbeats"):
            Consumer("t", "c", "a:1", options=options)


# ---- lies and silence


@pytest.mark.parametrize(
    ("garbage", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not look like a TLS handshake"),
        (encode_frame(RESPONSE, OK), "does not look like a TLS handshake"),
        (b"\x16\x03\x03\x00\x05hello", "tls:"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "handshake failure"),
    ],
)
async def test_a_nsqd_that_answers_tls_with_something_else_is_given_up(garbage: bytes, words: str) -> None:
    async with FakeNsqd() as nsqd:
        nsqd.script("IDENTIFY", answers(garbage, tls_v1=True, auth_required=True))
        error = await refused(nsqd, tls=ANYBODY, auth="hush")
        assert isinstance(error, TlsFailed)
        assert words in str(error)


async def test_a_handshake_that_nobody_answers_is_given_up() -> None:
    async with FakeNsqd() as nsqd:
        nsqd.script("IDENTIFY", answers(tls_v1=True))
        error = await refused(nsqd, tls=ANYBODY, handshake_timeout=0.1)
        assert isinstance(error, TlsFailed)
        assert "too long" in str(error) or "no answer" in str(error)


async def test_a_nsqd_that_goes_in_the_handshake_is_a_failure_of_tls() -> None:
    def agree_and_go(link: Link) -> None:
        link.send(RESPONSE, json.dumps({**AGREEMENT, "tls_v1": True}).encode())
        link.close()

    async with FakeNsqd() as nsqd:
        nsqd.script("IDENTIFY", agree_and_go)
        assert isinstance(await refused(nsqd, tls=ANYBODY), TlsFailed)


@pytest.mark.parametrize("kind", ["snappy", "deflate"])
@pytest.mark.parametrize("answer", ["garbage", "plain", "silence", "end", "not ok"])
async def test_a_nsqd_that_does_not_compress_after_all_is_given_up(kind: str, answer: str) -> None:
    said = {
        "garbage": b"\xff" * 64,
        "plain": encode_frame(RESPONSE, OK),
        "silence": b"",
        "end": b"",
        "not ok": Deflate(6).encode(encode_frame(RESPONSE, b"KO")),
    }[answer]
    async with FakeNsqd() as nsqd:
        nsqd.script("IDENTIFY", answers(said, **{kind: True}))
        task = asyncio.create_task(refused(nsqd, compress=kind, handshake_timeout=0.1))
        if answer == "end":
            await nsqd.expect("IDENTIFY")
            nsqd.link.drop()
        await task


@pytest.mark.parametrize("command", ["IDENTIFY", "AUTH"])
@pytest.mark.parametrize("reaction", [silence, drop])
async def test_every_answer_is_waited_for_in_bounds(command: str, reaction: Reaction) -> None:
    async with FakeNsqd(auth_required=True) as nsqd:
        nsqd.script(command, reaction)
        await refused(nsqd, auth="s", handshake_timeout=0.1)


async def test_two_answers_to_one_question_are_not_the_protocol() -> None:
    def say_it_twice(link: Link) -> None:
        link.ok()
        link.ok()

    async with FakeNsqd() as nsqd:
        nsqd.script("IDENTIFY", say_it_twice)
        connection = await open_connection(nsqd.address, ConnectionOptions())
        async with asyncio.timeout(5):
            await connection.closed.wait()
        assert isinstance(connection._error, NotNsqd)


# ---- in pieces


@asynccontextmanager
async def dribbling(port: int) -> AsyncIterator[str]:
    """A way to 127.0.0.1:port on which every byte comes by itself."""
    tasks: set[asyncio.Task[None]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(4096):
                for byte in data:
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        for ends in ((reader, far_writer), (far_reader, writer)):
            tasks.add(asyncio.create_task(copy(*ends)))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        host, here = server.sockets[0].getsockname()
        yield f"{host}:{here}"
        async with asyncio.timeout(5):
            await asyncio.wait(tasks)


@pytest.mark.parametrize("compress", [None, "snappy", "deflate"])
@pytest.mark.parametrize("tls", [False, True])
async def test_every_byte_may_come_by_itself(
    compress: str | None, tls: bool, tmp_path: Path, authority: Authority
) -> None:
    options = ConnectionOptions(tls=Tls(ca=authority.folder / "ca.pem") if tls else None, compress=compress)
    async with Node(tmp_path, *authority.flags) as node, dribbling(node.tcp[1]) as address:
        connection = await open_connection(address, options)
        assert await connection.ask(Event.SUB, commands.encode_sub("t", "c")) == OK
        assert len(connection.layers) == tls + (compress is not None)
        await connection.end()


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_answers_are_read_one_by_one(step: int) -> None:
    stream = encode_frame(RESPONSE, HEARTBEAT) + encode_frame(RESPONSE, b"a") + encode_frame(RESPONSE, b"b")
    frames = FirstFrames()
    came = [frame for at in range(0, len(stream), step) for frame in frames.feed(stream[at : at + step])]
    assert came == [(RESPONSE, HEARTBEAT), (RESPONSE, b"a")]
    frames.go_on()
    assert frames.feed(b"") == [(RESPONSE, b"b")]
    frames.feed(b"xyz")
    assert frames.take() == b"xyz"
    assert frames.take() == b""


def test_there_is_a_bound_to_what_comes_unasked() -> None:
    frames = FirstFrames()
    frames.feed(encode_frame(ERROR, b"x"))
    with pytest.raises(FrameError, match="before anything was asked for"):
        frames.feed(b"x" * (MOST + 1))


async def test_heartbeats_may_come_between_the_answers() -> None:
    async with FakeNsqd(auth_required=True) as nsqd:

        def beat(link: Link) -> None:
            link.heartbeat()
            link.send(RESPONSE, b'{"identity":"joe","identity_url":"u","permission_count":2}')
            link.heartbeat()

        nsqd.script("AUTH", beat)
        connection = await open_connection(nsqd.address, ConnectionOptions(auth="s"))
        assert connection.identity is not None
        assert (connection.identity.name, connection.identity.url) == ("joe", "u")
        await nsqd.until(lambda: nsqd.link.nops == 2)
        await connection.end()


# ---- its end


async def test_the_end_of_tls_is_told_and_obeyed(tmp_path: Path, authority: Authority) -> None:
    async with Node(tmp_path, *authority.flags) as node:
        host, port = node.tcp
        options = ConnectionOptions(tls=Tls(ca=authority.folder / "ca.pem"))
        connection = await open_connection(f"{host}:{port}", options)
        async with asyncio.timeout(2):
            await connection.end()
        connection = await open_connection(f"{host}:{port}", options)
        await node.stop()
        async with asyncio.timeout(5):
            await connection.closed.wait()


async def test_close_notify_alone_ends_a_connection(authority: Authority) -> None:
    """The peer says that it sends no more, and leaves the socket open."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.server.configure_cert(context)
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(inner, outer, server_side=True)
        await reader.readline()
        size = int.from_bytes(await reader.readexactly(4), "big")
        await reader.readexactly(size)
        writer.write(encode_frame(RESPONSE, json.dumps({**AGREEMENT, "tls_v1": True}).encode()))
        while True:
            inner.write(await reader.read(65536))
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                writer.write(outer.read())
        tls.write(encode_frame(RESPONSE, OK))
        try:
            tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        writer.write(outer.read())
        while await reader.read(65536):
            pass
        writer.close()
        closed.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, asyncio.timeout(5):
        try:
            connection = await open_connection(
                f"127.0.0.1:{port}", ConnectionOptions(tls=Tls(ca=authority.folder / "ca.pem"))
            )
        except ConnectError:
            pass
        else:
            await connection.closed.wait()
        await closed.wait()


# ---- cancelled


@pytest.mark.parametrize("late", [False, True])
async def test_cancelled_wherever_it_waits_it_leaves_nothing_open(
    late: bool, tmp_path: Path, authority: Authority
) -> None:
    async def secret() -> str:
        await asyncio.sleep(0)
        return "s"

    options = ConnectionOptions(tls=Tls(ca=authority.folder / "ca.pem"), compress="snappy", auth=secret)
    async with AuthServer() as server, Node(tmp_path, *authority.flags, server.flag) as node:
        server.answers["s"] = permissions(ALL)
        host, port = node.tcp
        places = 0
        async for cut in at_each_wait(lambda: open_connection(f"{host}:{port}", options), late=late):
            places += 1
            if cut.result is not None:
                assert cut.result.layers == ("TLS1.3", "snappy")
                await cut.result.end()
            else:
                assert cut.cancelled
            await eventually(lambda: not list(node.nsqd._connections))
        assert places >= 6
