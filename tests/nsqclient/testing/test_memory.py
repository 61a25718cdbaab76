import asyncio

import pytest

from nsqclient.testing.memory import HIGH, UNDER_WAY, MemoryTransport, connect


class Side(asyncio.Protocol):
    """Keeps what happens, in words."""

    def __init__(self, *, stays_half_open: bool = False) -> None:
        self.events: list[str] = []
        self.data = bytearray()
        self.gone = asyncio.Event()
        self._stays = stays_half_open

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        self.data += data

    def eof_received(self) -> bool:
        self.events.append("eof")
        return self._stays

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append(f"lost {type(exc).__name__}" if exc else "lost")
        self.gone.set()

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")


async def pair(**kwargs: bool) -> tuple[Side, MemoryTransport, Side, MemoryTransport]:
    client, server = Side(), Side(**kwargs)
    ends = connect(client, server, ("client.test", 7), ("server.test", 8))
    return client, ends[0], server, ends[1]


async def turns() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


async def test_what_one_end_writes_the_other_reads_in_one_piece_a_turn_later() -> None:
    client, near, server, far = await pair()
    near.write(b"ab")
    near.write(bytearray(b"cd"))
    assert server.data == b""
    await turns()
    assert server.data == b"abcd"
    far.write(memoryview(b"ef"))
    await turns()
    assert client.data == b"ef"
    assert near.get_extra_info("peername") == ("server.test", 8)
    assert far.get_extra_info("peername") == near.get_extra_info("sockname") == ("client.test", 7)
    assert near.get_extra_info("cipher", 3) == 3


async def test_close_delivers_what_was_written_and_ends_both() -> None:
    client, near, server, far = await pair()
    near.write(b"last")
    near.close()
    near.write(b"too late")
    await turns()
    assert server.data == b"last"
    assert client.events == ["made", "lost"]
    assert server.events == ["made", "eof", "lost"]
    assert near.is_closing()
    assert far.is_closing()
    near.close()
    near.abort()


async def test_abort_loses_what_was_not_read() -> None:
    client, near, server, far = await pair()
    near.write(b"lost")
    near.abort()
    await turns()
    assert server.data == b""
    assert client.events == ["made", "lost"]
    assert server.events == ["made", "lost ConnectionResetError"]
    far.write(b"x")
    await turns()
    assert client.data == b""


async def test_half_closed_connections_go_on_in_the_other_direction() -> None:
    client, near, server, far = await pair(stays_half_open=True)
    near.write(b"question")
    near.write_eof()
    with pytest.raises(RuntimeError, match="write_eof"):
        near.write(b"x")
    await turns()
    assert server.data == b"question"
    assert server.events == ["made", "eof"]
    far.write(b"answer")
    await turns()
    assert client.data == b"answer"
    far.close()
    await turns()
    assert client.events == ["made", "eof", "lost"]


async def test_writing_to_an_end_that_is_gone_breaks_the_connection() -> None:
    _, near, server, far = await pair(stays_half_open=True)
    near.close()
    await turns()
    assert server.events == ["made", "eof"]
    far.write(b"x")
    await turns()
    assert server.events == ["made", "eof", "lost ConnectionResetError"]


async def test_a_reader_that_pauses_makes_the_writer_pause() -> None:
    client, near, server, far = await pair()
    far.pause_reading()
    assert not far.is_reading()
    near.write(b"x" * UNDER_WAY)
    await turns()
    assert near.get_write_buffer_size() == 0
    near.write(b"x" * (HIGH + 1))
    assert client.events == ["made", "pause"]
    assert near.get_write_buffer_size() == HIGH + 1
    assert server.data == b""
    far.resume_reading()
    await turns()
    assert len(server.data) == UNDER_WAY + HIGH + 1
    assert client.events == ["made", "pause", "resume"]


async def test_write_buffer_limits_are_asyncios() -> None:
    _, near, _, _ = await pair()
    near.set_write_buffer_limits(high=100)
    assert near.get_write_buffer_limits() == (25, 100)
    near.set_write_buffer_limits(low=100)
    assert near.get_write_buffer_limits() == (100, 400)
    with pytest.raises(ValueError, match="must be >="):
        near.set_write_buffer_limits(high=1, low=2)


async def test_streams_of_asyncio_work_over_it() -> None:
    loop = asyncio.get_running_loop()
    reader, far_reader = asyncio.StreamReader(), asyncio.StreamReader()
    client = asyncio.StreamReaderProtocol(reader)
    server = asyncio.StreamReaderProtocol(far_reader)
    near, far = connect(client, server)
    writer = asyncio.StreamWriter(near, client, reader, loop)
    far_writer = asyncio.StreamWriter(far, server, far_reader, loop)
    writer.write(b"x" * 1_000_000)
    sending = asyncio.create_task(writer.drain())
    assert await far_reader.readexactly(1_000_000) == b"x" * 1_000_000
    await sending
    writer.close()
    await writer.wait_closed()
    assert await far_reader.read() == b""
    far_writer.close()
    await far_writer.wait_closed()
