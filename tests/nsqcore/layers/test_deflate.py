"""Deflate as a codec: any stream in any pieces, bombs, damage."""

from __future__ import annotations

import os
import zlib

import pytest

from nsqcore.layers.codec import PIECE, CodecError, EndOfStream
from nsqcore.layers.deflate import Deflate


def compressed(*datas: bytes, level: int = 6, flush: int = zlib.Z_SYNC_FLUSH) -> bytes:
    stream = zlib.compressobj(level, zlib.DEFLATED, -15)
    return b"".join(stream.compress(data) + stream.flush(flush) for data in datas)


@pytest.mark.parametrize("size", [1, 2, 1000, 1 << 30], ids=["bytes", "pairs", "thousands", "whole"])
def test_a_stream_is_decoded_in_whatever_pieces_it_comes(size: int) -> None:
    plain = [b"hello", os.urandom(3000), b"x" * 200_000, b"."]
    stream = compressed(*plain)
    codec = Deflate(6)
    pieces = [p for at in range(0, len(stream), size) for p in codec.decode(stream[at : at + size])]
    assert b"".join(pieces) == b"".join(plain)


@pytest.mark.parametrize("level", range(1, 10))
def test_what_is_encoded_can_be_read_at_once(level: int) -> None:
    codec, reader = Deflate(level), zlib.decompressobj(-15)
    for data in (b"a", b"hello" * 1000, os.urandom(70_000), b"b"):
        encoded = codec.encode(data)
        assert encoded.endswith(b"\x00\x00\xff\xff")
        assert reader.decompress(encoded) == data
    assert (codec.reply(), codec.end()) == (b"", b"")


def test_a_higher_level_compresses_better() -> None:
    text = b" ".join(b"%d green bottles, %d left" % (n, n * 7919 % 1000) for n in range(20_000))
    assert len(Deflate(9).encode(text)) < len(Deflate(1).encode(text))


def test_a_bomb_comes_in_pieces_and_goes_on_only_when_asked() -> None:
    bomb = compressed(b"\0" * (64 << 20), level=9)
    assert len(bomb) < 70_000
    pieces = Deflate(6).decode(bomb)
    assert len(next(pieces)) == PIECE
    rest = 0
    for piece in pieces:
        assert 0 < len(piece) <= PIECE
        rest += len(piece)
    assert rest == (64 << 20) - PIECE


@pytest.mark.parametrize("size", [PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
def test_output_that_fills_pieces_exactly_is_whole(size: int) -> None:
    codec = Deflate(6)
    for _ in range(3):  # nothing is left behind inside zlib
        assert b"".join(codec.decode(Deflate(6).encode(b"z" * size))) == b"z" * size


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff\xff\xff", b"\x07", zlib.compress(b"with a zlib header")])
def test_what_is_no_stream_is_an_error(garbage: bytes) -> None:
    codec = Deflate(6)
    assert list(codec.decode(compressed(b"good"))) == [b"good"]
    with pytest.raises(CodecError, match="deflate: Error -3"):
        next(codec.decode(garbage))


def test_a_final_block_ends_the_stream() -> None:
    pieces = Deflate(6).decode(compressed(b"last words", flush=zlib.Z_FINISH) + b"whatever follows")
    assert next(pieces) == b"last words"
    with pytest.raises(EndOfStream):
        next(pieces)


def test_an_incomplete_stream_gives_what_is_there() -> None:
    stream = compressed(b"one", os.urandom(1000))
    assert b"".join(Deflate(6).decode(stream[:-300])).startswith(b"one")
