"""Each case is fed whole, byte by byte and with a tail; any bytes either parse or raise FrameError."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqcore.wire.frames import (
    ERROR,
    HEAD,
    MESSAGE,
    MESSAGE_HEAD,
    RESPONSE,
    FrameDecoder,
    FrameError,
    WireMessage,
    decode_message,
    encode_frame,
)

CASES = [
    (b"\x00\x00\x00\x06\x00\x00\x00\x00OK", (RESPONSE, b"OK")),
    (b"\x00\x00\x00\x04\x00\x00\x00\x00", (RESPONSE, b"")),
    (b"\x00\x00\x00\x0d\x00\x00\x00\x01E_INVALID", (ERROR, b"E_INVALID")),
    (b"\x00\x00\x00\x05\x00\x00\x00\x02\x00", (MESSAGE, b"\x00")),
    (b"\x00\x00\x00\x04\xff\xff\xff\xff", (0xFFFFFFFF, b"")),
]
FRAMES = st.tuples(st.integers(0, 0xFFFFFFFF), st.binary(max_size=60))


@pytest.mark.parametrize(("data", "frame"), CASES)
def test_a_frame_is_encoded_as_the_protocol_draws_it(data: bytes, frame: tuple[int, bytes]) -> None:
    assert encode_frame(*frame) == data


@pytest.mark.parametrize(("data", "frame"), CASES)
def test_a_whole_frame_is_decoded(data: bytes, frame: tuple[int, bytes]) -> None:
    assert FrameDecoder().feed(data) == [frame]


@pytest.mark.parametrize(("data", "frame"), CASES)
def test_a_frame_is_decoded_byte_by_byte(data: bytes, frame: tuple[int, bytes]) -> None:
    decoder = FrameDecoder()
    assert [found for i in range(len(data) - 1) for found in decoder.feed(data[i : i + 1])] == []
    assert decoder.feed(data[-1:]) == [frame]


@pytest.mark.parametrize(("data", "frame"), CASES)
@pytest.mark.parametrize(
    "tail", [b"\x00", b"\x00\x00\x00\x06\x00\x00\x00", b"\x00\x00\x00\x06\x00\x00\x00\x00O"]
)
def test_a_tail_waits_for_its_rest(data: bytes, frame: tuple[int, bytes], tail: bytes) -> None:
    decoder = FrameDecoder()
    assert decoder.feed(data + tail) == [frame]
    rest = (b"\x00\x00\x00\x06\x00\x00\x00\x00OK")[len(tail) :]
    assert decoder.feed(rest) == [(RESPONSE, b"OK")]


def test_nothing_is_no_frame() -> None:
    assert FrameDecoder().feed(b"") == []


@given(st.lists(FRAMES), st.data())
def test_frames_come_out_as_they_went_in_however_they_are_cut(
    frames: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(encode_frame(kind, body) for kind, body in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    decoder = FrameDecoder()
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += decoder.feed(stream[start:end])
    assert found == frames


@given(st.lists(st.binary(max_size=40)))
def test_any_bytes_parse_or_raise_the_promised_error(parts: list[bytes]) -> None:
    decoder = FrameDecoder(max_size=64)
    found = []
    try:
        for part in parts:
            found += decoder.feed(part)
    except FrameError:
        return
    size = sum(8 + len(body) for _, body in found)
    assert size <= len(b"".join(parts))
    assert all(len(body) + 4 <= 64 for _, body in found)


@pytest.mark.parametrize("size", [-1, 0, 3, 65, 0x7FFFFFFF, -0x80000000])
def test_a_size_out_of_bounds_is_refused_before_its_bytes_are_awaited(size: int) -> None:
    with pytest.raises(FrameError, match=rf"^frame size {size} is not in 4 to 64$"):
        FrameDecoder(max_size=64).feed(HEAD.pack(size, 0))


def test_the_largest_size_is_allowed() -> None:
    assert FrameDecoder(max_size=64).feed(encode_frame(0, b"x" * 60)) == [(0, b"x" * 60)]


def test_frames_before_a_wrong_one_do_not_hide_it() -> None:
    with pytest.raises(FrameError):
        FrameDecoder().feed(encode_frame(0, b"OK") + b"\x00" * 8)


def test_an_answer_of_a_http_server_is_recognised() -> None:
    with pytest.raises(FrameError, match="is this an HTTP port"):
        FrameDecoder().feed(b"HTTP/1.1 400 Bad Request\r\n")


@given(
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(0, 0xFFFF),
    st.binary(min_size=16, max_size=16),
    st.binary(),
)
def test_a_message_is_its_head_and_its_body(timestamp: int, attempts: int, id_: bytes, body: bytes) -> None:
    data = MESSAGE_HEAD.pack(timestamp, attempts, id_) + body
    assert decode_message(data) == WireMessage(timestamp, attempts, id_, body)


def test_a_message_has_26_bytes_before_its_body() -> None:
    data = bytes.fromhex("16f0a1b2c3d4e5f6 0003") + b"0123456789abcdef" + b"hello"
    assert decode_message(data) == WireMessage(0x16F0A1B2C3D4E5F6, 3, b"0123456789abcdef", b"hello")


@given(st.binary(max_size=40))
def test_any_bytes_are_a_message_or_the_promised_error(data: bytes) -> None:
    if len(data) < 26:
        with pytest.raises(FrameError, match=f"message of {len(data)} bytes"):
            decode_message(data)
    else:
        assert decode_message(data).body == data[26:]
