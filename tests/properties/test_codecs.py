"""Deflate and snappy beside zlib and cramjam: any writes in any pieces, any damage, nothing above its bounds."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from itertools import pairwise

import hypothesis.strategies as st
from hypothesis import example, given

from nsqcore.layers.codec import PIECE, Codec, CodecError, EndOfStream
from nsqcore.layers.deflate import Deflate
from nsqcore.layers.snappy import IDENTIFIER, Snappy
from tests.properties.fuzzing import examples, property_test
from tests.support.codecs import pair

CODECS: dict[str, Callable[[], Codec]] = {"deflate": lambda: Deflate(6), "snappy": Snappy}
NAMES = st.sampled_from(sorted(CODECS))

RUNS = st.builds(lambda data, times: data * times, st.binary(max_size=40), st.sampled_from([1, 3, 500, 8000]))
WRITES = st.lists(RUNS.filter(bool), min_size=1, max_size=6)
CUTS = st.lists(st.integers(0, 400_000), max_size=8)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """``data`` cut at these places."""
    at = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:stop] for start, stop in pairwise(at)]


def decoded(codec: Codec, parts: list[bytes]) -> bytes:
    """Everything that these mean, each piece within its bound."""
    found = bytearray()
    for part in parts:
        for piece in codec.decode(part):
            assert 0 < len(piece) <= PIECE
            found += piece
    return bytes(found)


@property_test()
@examples(150)
@given(NAMES, WRITES, CUTS)
def test_what_others_encode_is_decoded_however_it_is_cut(
    name: str, writes: list[bytes], cuts: list[int]
) -> None:
    encode, _ = pair(name)
    stream = b"".join(map(encode, writes))
    assert decoded(CODECS[name](), pieces(stream, cuts)) == b"".join(writes)


@property_test()
@examples(150)
@given(NAMES, WRITES)
def test_what_is_encoded_others_decode_write_by_write(name: str, writes: list[bytes]) -> None:
    codec = CODECS[name]()
    _, decode = pair(name)
    for data in writes:
        assert decode(codec.encode(data)) == data


@property_test()
@examples(300)
@given(NAMES, WRITES, CUTS, st.integers(0, 100_000), st.integers(1, 255))
def test_a_damaged_stream_is_refused_or_decoded_within_bounds(
    name: str, writes: list[bytes], cuts: list[int], place: int, bits: int
) -> None:
    encode, _ = pair(name)
    stream = bytearray(b"".join(map(encode, writes)))
    stream[place % len(stream)] ^= bits
    codec, found = CODECS[name](), bytearray()
    try:
        for part in pieces(bytes(stream), cuts):
            for piece in codec.decode(part):
                assert 0 < len(piece) <= PIECE
                found += piece
    except (CodecError, EndOfStream):
        pass
    if name == "snappy":  # every byte is behind a checksum
        whole = b"".join(writes)
        assert whole.startswith(bytes(found)) or len(found) < len(whole)


@property_test()
@examples(300)
@given(NAMES, st.binary(max_size=300), CUTS)
@example("snappy", b"\x00\x05\x00\x00\0\0\0\0\x80", [])
@example("snappy", b"\x00\x06\x00\x00\0\0\0\0\x80\x80", [12])
def test_garbage_is_refused_or_incomplete_or_decoded(name: str, garbage: bytes, cuts: list[int]) -> None:
    def outcome(parts: list[bytes]) -> bytes | type[Exception]:
        try:
            return decoded(CODECS[name](), parts)
        except (CodecError, EndOfStream) as e:
            return type(e)

    for stream in (garbage, IDENTIFIER + garbage):
        assert outcome([stream]) == outcome(pieces(stream, cuts))


@property_test()
@examples(60)
@given(st.lists(st.sampled_from([b"", b"a", b"b" * PIECE, b"c" * (3 * PIECE)]), max_size=4), CUTS)
def test_whole_deflate_streams_end(writes: list[bytes], cuts: list[int]) -> None:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = b"".join(map(stream.compress, writes)) + stream.flush()
    codec, found, ended = Deflate(6), bytearray(), False
    try:
        for part in pieces(data, cuts):
            for piece in codec.decode(part):
                found += piece
    except EndOfStream:
        ended = True
    assert (ended, bytes(found)) == (True, b"".join(writes))
