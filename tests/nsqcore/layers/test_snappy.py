"""Snappy as a codec: the framing format, chunk by chunk, in any pieces, damaged and hostile."""

from __future__ import annotations

import os

import cramjam
import pytest

from nsqcore.layers.codec import PIECE, CodecError
from nsqcore.layers.snappy import IDENTIFIER, MOST_PLAIN, Snappy
from tests.support import codecs

CRC_OF_HELLO = bytes.fromhex("bb1f1c19")  # masked CRC-32C


def chunk(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(3, "little") + body


def stream(*datas: bytes) -> bytes:
    writer = codecs.Snappy()
    return b"".join(map(writer.encode, datas))


def decoded(codec: Snappy, data: bytes) -> bytes:
    return b"".join(codec.decode(data))


HELLO = chunk(1, CRC_OF_HELLO + b"hello")


@pytest.mark.parametrize("size", [1, 2, 5, 1000, 1 << 30])
def test_a_stream_is_decoded_in_whatever_pieces_it_comes(size: int) -> None:
    plain = [b"hello", os.urandom(3000), b"x" * 200_000, b"."]
    data, codec = stream(*plain), Snappy()
    pieces = [p for at in range(0, len(data), size) for p in codec.decode(data[at : at + size])]
    assert b"".join(pieces) == b"".join(plain)
    assert all(0 < len(piece) <= PIECE for piece in pieces)


def test_what_is_encoded_is_the_originals_to_the_byte() -> None:
    codec = Snappy()
    assert codec.encode(b"\0\0\0\6\0\0\0\0OK") == IDENTIFIER + chunk(
        1, bytes.fromhex("26982bcf") + b"\0\0\0\6\0\0\0\0OK"
    )
    assert codec.encode(b"hello") == HELLO
    assert (codec.reply(), codec.end()) == (b"", b"")


@pytest.mark.parametrize("size", [1, 65_536, 65_537, 300_000])
def test_chunks_hold_at_most_64_kib(size: int) -> None:
    reader = codecs.Snappy()
    for data in (b"a" * size, os.urandom(size)):
        assert reader.decode(Snappy().encode(data)) == data
    for written in reader.chunks:
        body = written[8:]
        assert (len(body) if written[0] == 1 else cramjam.snappy.decompress_raw_len(body)) <= MOST_PLAIN


def test_a_chunk_is_compressed_when_it_saves_an_eighth() -> None:
    def kind(data: bytes) -> int:
        return Snappy().encode(data)[len(IDENTIFIER)]

    noise = os.urandom(1000)
    for plain in range(0, 1000, 50):
        data = noise[:plain] + bytes(1000 - plain)
        smaller = len(cramjam.snappy.compress_raw(data))
        assert kind(data) == (0 if smaller < 1000 - 125 else 1)


def test_a_wrong_checksum_is_an_error() -> None:
    damaged = bytearray(stream(b"x" * 1000))
    damaged[len(IDENTIFIER) + 5] ^= 1
    with pytest.raises(CodecError, match="bad checksum"):
        decoded(Snappy(), bytes(damaged))
    with pytest.raises(CodecError, match="bad checksum"):
        decoded(Snappy(), IDENTIFIER + chunk(1, CRC_OF_HELLO + b"hullo"))


@pytest.mark.parametrize("kind", [0x80, 0xA0, 0xFD, 0xFE])
@pytest.mark.parametrize("size", [1, 7, 1 << 30])
def test_chunks_that_may_be_skipped_are_skipped_as_they_come(kind: int, size: int) -> None:
    data = IDENTIFIER + HELLO + chunk(kind, b"") + chunk(kind, bytes(100_000)) + HELLO + IDENTIFIER + HELLO
    codec = Snappy()
    pieces: list[bytes] = []
    for at in range(0, len(data), size):
        pieces += codec.decode(data[at : at + size])
        assert codec._have < 100
    assert b"".join(pieces) == b"hello" * 3


@pytest.mark.parametrize("cut", range(1, 10))
def test_an_identifier_may_be_repeated_and_cut(cut: int) -> None:
    codec = Snappy()
    assert decoded(codec, IDENTIFIER + HELLO + IDENTIFIER[:cut]) == b"hello"
    assert decoded(codec, IDENTIFIER[cut:] + HELLO) == b"hello"


def test_the_longest_skipped_chunk_needs_no_memory() -> None:
    codec = Snappy()
    assert decoded(codec, IDENTIFIER + b"\xfe\xff\xff\xff") == b""
    for _ in range(255):
        assert decoded(codec, bytes(65_536)) == b""
        assert codec._parts == []
    assert decoded(codec, bytes(65_535) + HELLO) == b"hello"


@pytest.mark.parametrize(
    "data",
    [
        b"garbage",
        HELLO,
        chunk(0xFF, b"sNaPpX"),
        chunk(0xFF, b"sNaPp"),
        chunk(0xFE, b"first"),
        IDENTIFIER + chunk(0x02, b"unknown"),
        IDENTIFIER + chunk(0x7F, b""),
        IDENTIFIER + chunk(0, b""),
        IDENTIFIER + chunk(0, b"123"),
        IDENTIFIER + chunk(0, b"1234"),
        IDENTIFIER + chunk(0, b"1234\x80"),
        IDENTIFIER + chunk(1, b"123"),
        IDENTIFIER + chunk(1, bytes(4 + 65_537)),
        IDENTIFIER + chunk(0, bytes(4) + bytes(cramjam.snappy.compress_raw(bytes(65_537)))),
        IDENTIFIER + chunk(0, bytes(4) + b"\xff\xff\xff\xff\x0f"),
        IDENTIFIER + chunk(0, bytes(4) + b"\x80\x80\x80\x80\x80\x80"),
        IDENTIFIER + b"\x00\xff\xff\xff",
        IDENTIFIER + b"\x01\xff\xff\xff",
    ],
)
def test_what_is_no_stream_is_an_error(data: bytes) -> None:
    with pytest.raises(CodecError, match="snappy"):
        decoded(Snappy(), data)
    codec = Snappy()
    with pytest.raises(CodecError, match="snappy"):
        decoded(codec, data[:5]) + b"".join(decoded(codec, data[at : at + 1]) for at in range(5, len(data)))


def test_an_error_comes_behind_what_could_be_read() -> None:
    pieces = Snappy().decode(IDENTIFIER + HELLO + chunk(2, b""))
    assert next(pieces) == b"hello"
    with pytest.raises(CodecError):
        next(pieces)


def test_empty_chunks_mean_nothing() -> None:
    empty = chunk(1, bytes.fromhex("d8ea82a2")), chunk(0, bytes.fromhex("d8ea82a2") + b"\0")
    assert decoded(Snappy(), IDENTIFIER + empty[0] * 100 + empty[1] + HELLO) == b"hello"
    assert decoded(Snappy(), IDENTIFIER + empty[1]) == b""


def test_a_bomb_comes_in_pieces_and_goes_on_only_when_asked() -> None:
    bomb = stream(bytes(8 << 20))
    assert len(bomb) < 400_000
    pieces = Snappy().decode(bomb)
    assert len(next(pieces)) == PIECE
    assert sum(map(len, pieces)) == (8 << 20) - PIECE


def test_small_chunks_are_decoded_together() -> None:
    data = stream(*([b"message"] * 20_000))
    assert next(map(len, Snappy().decode(data))) > PIECE - 7
