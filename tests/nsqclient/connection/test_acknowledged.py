"""OKs that come together are counted together, however the stream is cut."""

from __future__ import annotations

import asyncio
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from nsqclient import ConnectError, ConnectionOptions
from nsqclient.connection.connection import Connection
from nsqclient.connection.state import Refusal
from nsqcore.wire.frames import ERROR, HEARTBEAT, OK_FRAME, RESPONSE, encode_frame

PIECES = [
    OK_FRAME,
    OK_FRAME * 3,
    encode_frame(RESPONSE, HEARTBEAT),
    encode_frame(ERROR, b"E_FIN_FAILED FIN x failed"),
]


class User:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.oks = 0
        self.refused_after: list[int] = []

    def acknowledged(self, count: int) -> None:
        assert count > 0
        self.oks += count

    def answered(self, data: bytes) -> None:
        assert data == b"OK"
        self.oks += 1

    def refused(self, refusal: Refusal) -> None:
        self.refused_after.append(self.oks)

    def messages_came(self, payloads: list[bytes]) -> None:
        raise AssertionError

    def writable(self) -> None:
        raise AssertionError

    def blocked_for(self, seconds: float) -> None:
        raise AssertionError

    def lost(self, error: ConnectError) -> None:
        raise AssertionError


class Sink(asyncio.Transport):
    """Takes everything."""

    def write(self, data: object) -> None:
        pass


def read(stream: bytes, cuts: list[int]) -> User:
    user = User()

    async def feed() -> None:
        connection = Connection("node", ConnectionOptions())
        connection._transport = cast(asyncio.Transport, Sink())
        connection.opened()
        connection.attach(user, user.acknowledged)
        at = 0
        for cut in [*sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]:
            if cut > at:
                connection.data_received(stream[at:cut])
                at = cut
        await asyncio.sleep(0)

    asyncio.run(feed())
    return user


@given(st.lists(st.sampled_from(PIECES), max_size=12), st.lists(st.integers(0, 400), max_size=8))
def test_every_ok_is_counted_once_and_in_its_place(pieces: list[bytes], cuts: list[int]) -> None:
    user = read(b"".join(pieces), cuts)
    oks, refused_after = 0, []
    for piece in pieces:
        if piece.startswith(OK_FRAME):
            oks += len(piece) // len(OK_FRAME)
        elif piece is PIECES[3]:
            refused_after.append(oks)
    assert (user.oks, user.refused_after) == (oks, refused_after)
