"""Snappy between a client and nsqd: the framing format, whose chunks hold at most 64 KiB each.

::

    type, 1 byte | length, 3 bytes, little-endian | length bytes

    0xff       stream identifier: "sNaPpY"; the first chunk, may be repeated
    0x00       masked CRC-32C of the plain bytes, 4 bytes | them in snappy's block format
    0x01       masked CRC-32C, 4 bytes | the plain bytes
    0x80-0xfe  to be skipped
    others     not to be understood
"""

from __future__ import annotations

from collections.abc import Iterator

from cramjam import DecompressionError
from cramjam import snappy as cramjam

from nsqcore.layers.codec import PIECE, CodecError

IDENTIFIER = b"\xff\x06\x00\x00sNaPpY"
_COMPRESSED, _PLAIN, _FIRST_SKIPPED, _IDENTIFIER = 0x00, 0x01, 0x80, 0xFF
_HEAD = 4
_CHECKSUM = 4
MOST_PLAIN = 65536
"""Plain bytes of a chunk."""
_SMALL = 2048
_MOST_COMPRESSED = _CHECKSUM + 32 + MOST_PLAIN + MOST_PLAIN // 6
"""Bytes of a compressed chunk behind its head: snappy's own bound for :data:`MOST_PLAIN` bytes."""


class Snappy:
    """One connection's two streams; :class:`nsqcore.layers.codec.Codec`."""

    def __init__(self) -> None:
        # Fast (0.35 µs for 200 bytes), and with the original's rule: plain unless an eighth is saved.
        self._compressor = cramjam.Compressor()
        self._checker = cramjam.Compressor()
        self._checker.compress(b".")
        self._checker.flush()  # the identifier is out of the way
        self._identified = False
        self._parts: list[bytes] = []  # an incomplete chunk
        self._have = 0
        self._wanted = _HEAD
        self._skip = 0  # bytes of a chunk that is thrown away as it comes

    def encode(self, data: bytes) -> bytes:
        """``data`` in chunks; the identifier before the first."""
        self._compressor.compress(data)
        return bytes(self._compressor.flush())

    def reply(self) -> bytes:
        """Nothing."""
        return b""

    def end(self) -> bytes:
        """Nothing: the format has no end."""
        return b""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Raises CodecError for what is no stream, and for a wrong checksum.

        Chunks are decoded in runs, all of one in one call.
        """
        if len(data) <= _SMALL and self._identified and not self._have and not self._skip:
            # Mostly one chunk, of a client that waits for its answer: spares a look at what may be around it.
            length = int.from_bytes(data[1:_HEAD], "little")
            if _HEAD + length == len(data) and data[0] <= _PLAIN and length > _CHECKSUM:
                compressed = data[0] == _COMPRESSED
                size = _plain_size(data, _HEAD + _CHECKSUM) if compressed else length - _CHECKSUM
                if size <= _SMALL:
                    piece = self._decompress(data, size)
                    return iter((piece,) if piece else ())
        return self._decode(data)

    def _decode(self, data: bytes) -> Iterator[bytes]:
        self._parts.append(data)
        self._have += len(data)
        if self._have < self._wanted:
            return
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        at = start = plain = 0  # from start to at there are whole chunks of so many plain bytes
        end = len(data)
        self._wanted = _HEAD
        while True:
            if self._skip:
                step = min(self._skip, end - at)
                self._skip -= step
                start = at = at + step
            if end - at < _HEAD:
                break
            kind = data[at]
            length = int.from_bytes(data[at + 1 : at + _HEAD], "little")
            if kind <= _PLAIN and self._identified:
                if not _CHECKSUM <= length <= _MOST_COMPRESSED:
                    raise _too_much(kind, length)
                if end - at < _HEAD + length:
                    self._wanted = _HEAD + length
                    break
                size = length - _CHECKSUM if kind == _PLAIN else _plain_size(data, at + _HEAD + _CHECKSUM)
                if size > MOST_PLAIN:
                    raise _too_much(kind, length)
                if plain + size > PIECE:
                    yield self._decompress(data[start:at], plain)
                    start, plain = at, 0
                plain += size
                at += _HEAD + length
                continue
            if start < at:
                if piece := self._decompress(data[start:at], plain):
                    yield piece
                start, plain = at, 0
            if kind == _IDENTIFIER:
                if end - at < len(IDENTIFIER) and length == len(IDENTIFIER) - _HEAD:
                    self._wanted = len(IDENTIFIER)
                    break
                if data[at : at + len(IDENTIFIER)] != IDENTIFIER:
                    raise CodecError("snappy: this is no stream identifier")
                self._identified = True
                at += len(IDENTIFIER)
            elif not self._identified:
                raise CodecError("snappy: the stream does not begin with its identifier")
            elif kind < _FIRST_SKIPPED:
                raise CodecError(f"snappy: unknown chunk of type {kind}")
            else:
                at += _HEAD
                self._skip = length
            start = at
        if start < at and (piece := self._decompress(data[start:at], plain)):
            yield piece
        rest = data[at:]
        self._have = len(rest)
        if rest:
            self._parts.append(rest)

    def _decompress(self, chunks: bytes, size: int) -> bytes:
        """The ``size`` plain bytes of whole chunks, their checksums verified.

        Cramjam's reader of frames takes 3 µs to set up, and it has no CRC-32C to offer. Its writer computes one
        for what it frames: so a small chunk alone, which a client sends that waits for each answer, takes
        0.5 µs (200 bytes). Compressing again takes longer from 3000 bytes on.
        """
        try:
            if size <= _SMALL and _HEAD + int.from_bytes(chunks[1:_HEAD], "little") == len(chunks):
                body = chunks[_HEAD + _CHECKSUM :]
                plain = body if chunks[0] == _PLAIN else bytes(cramjam.decompress_raw(body))
                if plain:
                    self._checker.compress(plain)
                    checked = bytes(self._checker.flush())
                    if checked[_HEAD : _HEAD + _CHECKSUM] == chunks[_HEAD : _HEAD + _CHECKSUM]:
                        return plain
            return bytes(cramjam.decompress(IDENTIFIER + chunks))  # of one alone, it says what is wrong
        except DecompressionError as e:
            raise CodecError(str(e)) from e


def _plain_size(data: bytes, at: int) -> int:
    """What the block format begins with: the plain size, 7 bits in each byte, the lowest first.

    Right where the size is allowed; a larger one is never taken for an allowed one.
    """
    head = int.from_bytes(data[at : at + 3], "little")
    if not head & 0x80:
        return head & 0x7F
    if not head & 0x8000:
        return head & 0x7F | head >> 1 & 0x3F80
    return head & 0x7F | head >> 1 & 0x3F80 | head >> 16 << 14


def _too_much(kind: int, length: int) -> CodecError:
    return CodecError(f"snappy: a chunk of type {kind} can't be {length} bytes long")
