"""Bodies of requests, whole, by the byte and with a tail."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqcore.wire.http_body import BadBody, ChunkedBody, FixedBody


def play(body: FixedBody | ChunkedBody, pieces: list[bytes]) -> tuple[bytes, bytes]:
    found, rest = b"", b""
    for piece in pieces:
        if body.complete:
            rest += piece
            continue
        parts, behind = body.feed(piece)
        found += b"".join(parts)
        rest += behind
    return found, rest


def three_ways(data: bytes) -> list[list[bytes]]:
    return [[data], [data[n : n + 1] for n in range(len(data))], [data + b"tail"]]


def chunked(chunks: list[bytes], size: str = "%x", end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join((size % len(chunk)).encode() + b"\r\n" + chunk + b"\r\n" for chunk in chunks) + end


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (chunked([]), b""),
        (chunked([b"abc", b"\r\n", b"0"]), b"abc\r\n0"),
        (chunked([b"x" * 300], "%04X"), b"x" * 300),
        (chunked([b"abc"], '%x;name="value"'), b"abc"),
        (chunked([b"abc"], "%x \t"), b"abc"),
        (chunked([b"abc"], end=b"0\r\nTrailer: x\r\nOther: y\r\n\r\n"), b"abc"),
        (chunked([b"abc"], end=b"000;x\r\n\r\n"), b"abc"),
    ],
)
def test_chunks_are_put_together_and_what_follows_is_left(sent: bytes, expected: bytes) -> None:
    for pieces in three_ways(sent):
        body = ChunkedBody()
        found, rest = play(body, pieces)
        assert (found, body.complete) == (expected, True)
        assert rest == (b"tail" if pieces[0].endswith(b"tail") else b"")


@pytest.mark.parametrize(
    "sent",
    [
        b"zz\r\n",
        b"-1\r\n",
        b"+1\r\na\r\n",
        b"\r\n",
        b"1\r\naX",
        b"1\r\na\rX",
        b"1" * 17 + b"\r\n",
        b"1" * 5000,
        b"1;" + b"x" * 5000,
        b"0\r\nX: " + b"y" * 5000,
    ],
)
def test_what_is_no_chunk_is_refused(sent: bytes) -> None:
    for pieces in ([sent], [sent[n : n + 1] for n in range(len(sent))]):
        with pytest.raises(BadBody):
            play(ChunkedBody(), pieces)


def test_a_fixed_body_ends_where_it_was_said_to() -> None:
    for pieces in three_ways(b"abc"):
        body = FixedBody(3)
        found, rest = play(body, pieces)
        assert (found, body.complete, body.left) == (b"abc", True, 0)
        assert rest == (b"tail" if len(pieces[0]) > 3 else b"")
    assert FixedBody(0).complete


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=8), st.lists(st.integers(0, 300), max_size=6))
def test_how_chunks_are_cut_makes_no_difference(chunks: list[bytes], cuts: list[int]) -> None:
    sent = chunked(chunks) + b"tail"
    places = [0, *sorted(min(cut, len(sent)) for cut in cuts), len(sent)]
    pieces = [sent[a:b] for a, b in pairwise(places)]
    assert play(ChunkedBody(), pieces) == (b"".join(chunks), b"tail")


@given(st.lists(st.one_of(st.sampled_from([b"1\r\n", b"a", b"\r\n", b"0\r\n", b";"]), st.binary(max_size=5))))
def test_any_bytes_are_chunks_or_refused(pieces: list[bytes]) -> None:
    try:
        whole = play(body := ChunkedBody(), [b"".join(pieces)])
    except BadBody:
        return
    cut = ChunkedBody()
    assert play(cut, [bytes([byte]) for byte in b"".join(pieces)]) == whole
    assert cut.complete == body.complete
