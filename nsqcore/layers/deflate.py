"""Deflate between a client and nsqd: one raw RFC 1951 stream each way, flushed behind every write."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from nsqcore.layers.codec import PIECE, CodecError, EndOfStream

_SLICE = 16 * 1024
"""Compressed bytes given to zlib at a time: what it leaves over is copied with every piece of a bomb."""


class Deflate:
    """One connection's two streams; :class:`nsqcore.layers.codec.Codec`. Holds up to 300 KB."""

    def __init__(self, level: int) -> None:
        """``level`` is 1 (fast) to 9 (small)."""
        self._deflate = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Raises CodecError for a stream that is none, EndOfStream behind its final block."""
        inflate = self._inflate
        for at in range(0, len(data), _SLICE):
            rest = data[at : at + _SLICE]
            while True:
                try:
                    piece = inflate.decompress(rest, PIECE)
                except zlib.error as e:
                    raise CodecError(f"deflate: {e}") from e
                if piece:
                    yield piece
                if inflate.eof:
                    raise EndOfStream
                rest = inflate.unconsumed_tail
                if not rest and len(piece) < PIECE:  # a full piece may have left output inside zlib
                    break

    def encode(self, data: bytes) -> bytes:
        """``data`` compressed, and a sync flush."""
        return self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def reply(self) -> bytes:
        """Nothing."""
        return b""

    def end(self) -> bytes:
        """Nothing: as in the original, the stream ends with the connection."""
        return b""
