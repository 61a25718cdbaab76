"""What a connection makes of bytes, whatever they are and however they are cut."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqclient.tools.to_http.connection import Answer, Connection, RequestFailed
from tests.nsqclient.tools.to_http.sinks import OK, status

PIECES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.0 302 Found\r\n",
        b"Location: /x\r\n",
        b"Content-Length: 3\r\n",
        b"Content-Length: -1\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"\r\n",
        b"abc",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"fffffffffffffffff\r\n",
        b"\x00\xff",
        OK,
        status(204),
    ]
)


class Transport(asyncio.Transport):
    """Takes what is written, and ends when it is told."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection
        self.ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.ended = True


async def fed(parts: Sequence[bytes]) -> tuple[str, bool]:
    """What comes of a request whose answer comes in these parts; and whether the connection can be used again."""
    connection = Connection()
    transport = Transport(connection)
    connection.connection_made(transport)
    connection.ready(transport)
    waiter = connection.send(b"POST / HTTP/1.1\r\n\r\n")
    for part in parts:
        if not transport.ended and not waiter.done():
            connection.data_received(part)
    usable = connection.usable
    assert usable != transport.ended or not waiter.done()
    connection.connection_lost(None)
    assert waiter.done()
    try:
        answer = waiter.result()
    except RequestFailed as e:
        assert not usable
        return str(e), usable
    assert isinstance(answer, Answer)
    assert answer.status >= 200
    return str(answer), usable


@given(st.lists(st.one_of(PIECES, st.binary(max_size=30)), max_size=12))
def test_any_bytes_are_an_answer_or_a_reason(pieces: list[bytes]) -> None:
    text, _ = asyncio.run(fed(pieces))
    assert text


@given(st.data())
def test_an_answer_is_the_same_however_it_is_cut(data: st.DataObject) -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello"
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=6)))
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert asyncio.run(fed(parts)) == asyncio.run(fed([whole])) == ("Answer(status=200, location='')", True)


async def test_a_connection_that_has_ended_takes_no_request() -> None:
    connection = Connection()
    transport = Transport(connection)
    connection.connection_made(transport)
    connection.connection_lost(None)
    connection.ready(transport)
    with pytest.raises(RequestFailed, match="closed without an answer"):
        await connection.send(b"GET / HTTP/1.1\r\n\r\n")
