import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from nsqclient.testing import FaultyProxy

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """A server that says back what it hears, and remembers it."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.news = asyncio.Event()
        self.ended = asyncio.Event()
        self.open = 0
        self.address = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while data := await reader.read(65536):
                self.heard += data
                self.news.set()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()
            self.open -= 1
            self.ended.set()


@asynccontextmanager
async def behind_proxy() -> AsyncIterator[tuple[FaultyProxy, Echo]]:
    echo = Echo()
    async with asyncio.timeout(10), await asyncio.start_server(echo.serve, "127.0.0.1", 0) as server:
        echo.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with FaultyProxy(echo.address) as proxy:
            yield proxy, echo
        while echo.open:
            echo.ended.clear()
            await echo.ended.wait()


async def connect(proxy: FaultyProxy) -> Streams:
    host, _, port = proxy.address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def talk(streams: Streams, data: bytes) -> bytes:
    reader, writer = streams
    writer.write(data)
    return await reader.readexactly(len(data))


async def is_silent(streams: Streams) -> bool:
    try:
        async with asyncio.timeout(0.05):
            return await streams[0].read(1) == b"never"
    except TimeoutError:
        return True


async def test_bytes_go_through_both_ways_and_so_does_the_end() -> None:
    async with behind_proxy() as (proxy, echo):
        reader, writer = await connect(proxy)
        data = bytes(range(256)) * 4000
        assert await talk((reader, writer), data) == data
        assert proxy.passed == {"to_server": len(data), "to_client": len(data)}
        assert (proxy.accepted, proxy.connections) == (1, 1)
        writer.write_eof()
        assert await reader.read() == b""
        await echo.ended.wait()
        writer.close()


async def test_cut_ends_every_connection_and_new_ones_work() -> None:
    async with behind_proxy() as (proxy, _):
        streams = await connect(proxy)
        await talk(streams, b"x")
        proxy.cut()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await talk(streams, b"y")
        streams[1].close()
        again = await connect(proxy)
        assert await talk(again, b"z") == b"z"
        again[1].close()


async def test_cut_ends_connections_that_are_held() -> None:
    async with behind_proxy() as (proxy, echo):
        streams = await connect(proxy)
        await talk(streams, b"x")
        proxy.hold()
        proxy.cut()
        assert await streams[0].read() == b""
        await echo.ended.wait()
        streams[1].close()


async def test_refused_connections_come_back_at_the_same_port() -> None:
    async with behind_proxy() as (proxy, _):
        address = proxy.address
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await connect(proxy)
        await proxy.accept()
        assert proxy.address == address
        streams = await connect(proxy)
        assert await talk(streams, b"x") == b"x"
        streams[1].close()


async def test_answers_are_lost_after_the_write() -> None:
    async with behind_proxy() as (proxy, echo):
        streams = await connect(proxy)
        await talk(streams, b"x")
        proxy.drop("to_client")
        echo.news.clear()
        streams[1].write(b"stored")
        await echo.news.wait()
        assert echo.heard == b"xstored"
        assert await is_silent(streams)
        streams[1].close()


async def test_a_half_open_connection_is_silent_in_both_directions() -> None:
    async with behind_proxy() as (proxy, echo):
        streams = await connect(proxy)
        await talk(streams, b"x")
        proxy.half_open()
        streams[1].write(b"lost")
        assert await is_silent(streams)
        assert echo.heard == b"x"
        proxy.cut()
        proxy.heal()
        streams[1].close()
        again = await connect(proxy)
        assert await talk(again, b"y") == b"y"
        again[1].close()


async def test_what_is_held_comes_after_healing() -> None:
    async with behind_proxy() as (proxy, echo):
        streams = await connect(proxy)
        await talk(streams, b"x")
        proxy.hold("to_server")
        streams[1].write(b"later")
        assert await is_silent(streams)
        assert echo.heard == b"x"
        proxy.heal()
        assert await streams[0].readexactly(5) == b"later"
        streams[1].close()


async def test_delay_and_throttle_take_their_time() -> None:
    async with behind_proxy() as (proxy, _):
        loop = asyncio.get_running_loop()
        streams = await connect(proxy)
        await talk(streams, b"x")
        proxy.delay(0.05)
        began = loop.time()
        await talk(streams, b"y")
        assert loop.time() - began > 0.09
        proxy.heal()
        proxy.throttle(20_000, "to_client")
        began = loop.time()
        await talk(streams, b"z" * 2000)
        assert loop.time() - began > 0.09
        streams[1].close()


async def test_a_stream_is_cut_within_a_frame() -> None:
    async with behind_proxy() as (proxy, _):
        streams = await connect(proxy)
        await talk(streams, b"x")
        proxy.cut_after(3, "to_server")
        streams[1].write(b"abcdef")
        assert await streams[0].read() in (b"", b"a", b"ab", b"abc")
        assert proxy.passed["to_server"] == 4
        streams[1].close()


async def test_a_server_that_is_not_there_ends_the_connection() -> None:
    async with FaultyProxy("127.0.0.1:1") as proxy, asyncio.timeout(5):
        reader, writer = await connect(proxy)
        assert await reader.read() == b""
        writer.close()


async def test_nothing_is_left_behind() -> None:
    before = asyncio.all_tasks()
    async with behind_proxy() as (proxy, _):
        streams = await connect(proxy)
        await talk(streams, b"x")
    assert asyncio.all_tasks() == before
    assert proxy.connections == 0
    streams[1].close()
