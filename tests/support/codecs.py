"""The client's side of deflate and snappy, from zlib and cramjam and none of nsqd's code."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from cramjam import snappy

from tests.support.raw import RawClient

Pair = tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]
"""Encode, decode."""
IDENTIFIER = b"\xff\x06\x00\x00sNaPpY"


def deflate(level: int = 6) -> Pair:
    """Both ways of one connection."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15)
    inflate = zlib.decompressobj(-15)
    return lambda data: compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH), inflate.decompress


class Snappy:
    """Both ways of one connection; keeps the chunks that came."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self._compressor = snappy.Compressor()
        self._rest = b""

    def encode(self, data: bytes) -> bytes:
        """Chunks, the first time behind the identifier."""
        self._compressor.compress(data)
        return bytes(self._compressor.flush())

    def decode(self, data: bytes) -> bytes:
        """What is in the chunks that are whole."""
        self._rest += data
        plain = b""
        while len(self._rest) >= 4:
            stop = 4 + int.from_bytes(self._rest[1:4], "little")
            if len(self._rest) < stop:
                break
            chunk, self._rest = self._rest[:stop], self._rest[stop:]
            self.chunks.append(chunk)
            if chunk != IDENTIFIER:
                plain += bytes(snappy.decompress(IDENTIFIER + chunk))
        return plain


def pair(name: str) -> Pair:
    """``deflate`` or ``snappy``."""
    if name == "deflate":
        return deflate()
    codec = Snappy()
    return codec.encode, codec.decode


async def compress(client: RawClient, name: str, **settings: object) -> None:
    """Agrees on ``deflate`` or ``snappy`` by IDENTIFY; from now on the client speaks through it."""
    answer = await client.identify(**{name: True}, **settings)
    assert answer[name] is True
    client.go_through(*pair(name))
    await client.expect_ok()
