import struct
from unittest.mock import patch

import hypothesis.strategies as st
import pytest
from hypothesis import given

from nsqcore.wire.commands import encode_batch
from nsqcore.wire.frames import FrameDecoder, decode_message
from nsqd.errors import BatchError
from nsqd.frames import (
    FRAME_OVERHEAD,
    Batch,
    BatchDecoder,
    FrameBuilder,
    frame_of_record,
    id_of,
    next_delivery,
    records_of_fresh,
    records_of_past,
)
from nsqd.guid import EPOCH, SEQUENCES, Ids

NOW = (EPOCH + 1_000_000) << 20
BODIES = st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=20)
MAX_MSG, MAX_BODY = 10, 600


def builder() -> FrameBuilder:
    return FrameBuilder(Ids(1))


def at_attempts(frame: bytes, attempts: int) -> bytes:
    return frame[:16] + attempts.to_bytes(2, "big") + frame[18:]


def attempts_of(frame: bytes) -> int:
    return int.from_bytes(frame[16:18], "big")


def check(batch: Batch, bodies: list[bytes]) -> None:
    """The batch says of itself what its frames say, and these are messages that a client understands."""
    frames = FrameDecoder().feed(b"".join(batch.frames))
    messages = [decode_message(data) for _, data in frames]
    assert [kind for kind, _ in frames] == [2] * len(bodies)
    assert [m.body for m in messages] == bodies
    assert {m.attempts for m in messages} == {1}
    assert [m.id for m in messages] == [id_of(frame) for frame in batch.frames]
    ids = [m.id for m in messages]
    assert ids == sorted(set(ids))
    assert batch.size == sum(map(len, batch.frames))
    assert batch.largest >= max(map(len, batch.frames))
    assert batch.size - FRAME_OVERHEAD * len(batch.frames) == sum(map(len, bodies))


# -- building --------------------------------------------------------------------------------------


def test_a_frame_is_laid_out_as_the_protocol_draws_it() -> None:
    with patch("time.time_ns", return_value=NOW):
        batch = builder().one(b"hello")
    assert batch.frames == [
        struct.pack(">iiqH", 31 + 4, 2, NOW, 1) + b"%016x" % (1_000_000 << 22 | 1 << 12) + b"hello"
    ]
    assert batch.size == batch.largest == 5 + FRAME_OVERHEAD
    assert batch.size - FRAME_OVERHEAD * len(batch.frames) == 5


def test_a_message_to_be_deferred_begins_with_no_attempts() -> None:
    (frame,) = builder().one(b"x", attempts=0).frames
    assert attempts_of(frame) == 0
    assert attempts_of(next_delivery(frame)) == 1


@given(BODIES)
def test_many_bodies_become_a_batch(bodies: list[bytes]) -> None:
    check(builder().many(bodies), bodies)


def test_no_bodies_become_an_empty_batch() -> None:
    batch = builder().many([])
    assert batch.frames == []
    assert batch.size == 0


def test_a_batch_may_have_more_messages_than_a_tick_has_ids() -> None:
    with patch("time.time_ns", return_value=NOW):
        frames = builder()
        bodies = [b"x"] * (SEQUENCES + 10)
        check(frames.many(bodies), bodies)
        data = encode_batch(bodies)
        decoder = BatchDecoder(frames, data, 0, len(data), max_msg_size=1, max_body_size=len(data))
        while not decoder.step():
            pass
        frames_made = [frame for batch in decoder.batches for frame in batch.frames]
        assert len({id_of(frame) for frame in frames_made}) == len(bodies)


def test_all_ways_of_building_share_the_ids() -> None:
    with patch("time.time_ns", return_value=NOW):
        frames = builder()
        data = encode_batch([b"d", b"e"])
        decoder = BatchDecoder(frames, data, 0, len(data), max_msg_size=1, max_body_size=100)
        made = frames.one(b"a").frames + frames.many([b"b", b"c"]).frames
        assert decoder.step()
        made += decoder.batches[0].frames + frames.one(b"f").frames
    assert [id_of(frame)[-3:] for frame in made] == [b"%03x" % n for n in range(6)]


# -- redelivery and disk ---------------------------------------------------------------------------


@given(st.binary(min_size=1, max_size=9), st.integers(0, 0xFFFF))
def test_a_redelivery_differs_in_its_attempts_alone(body: bytes, attempts: int) -> None:
    frame = at_attempts(builder().one(body).frames[0], attempts)
    again = next_delivery(frame)
    assert attempts_of(again) == (attempts + 1) % 65536
    assert at_attempts(again, attempts) == frame


@given(BODIES)
def test_a_fresh_frame_comes_back_from_disk_as_it_was(bodies: list[bytes]) -> None:
    frames = builder().many(bodies).frames
    records = records_of_fresh(frames)
    assert [struct.unpack_from(">iqH", r) for r in records] == [
        (len(f) - 8, decode_message(f[8:]).timestamp, 0) for f in frames
    ]
    assert [frame_of_record(r) for r in records] == frames


@given(st.binary(min_size=1, max_size=9), st.integers(0, 0xFFFF))
def test_a_past_frame_comes_back_from_disk_as_its_next_delivery(body: bytes, attempts: int) -> None:
    past = at_attempts(builder().one(body).frames[0], attempts)
    (record,) = records_of_past([past])
    assert record == struct.pack(">i", len(past) - 8) + past[8:]
    assert frame_of_record(record) == next_delivery(past)


# -- decoding a batch ------------------------------------------------------------------------------


def decode(data: bytes, *, at: int = 0, end: int | None = None, limit: int = 1000) -> tuple[list[Batch], int]:
    decoder = BatchDecoder(
        builder(), data, at, len(data) if end is None else end, max_msg_size=MAX_MSG, max_body_size=MAX_BODY
    )
    while not decoder.step(limit):
        pass
    return decoder.batches, decoder.end


@pytest.mark.parametrize(
    ("data", "kind", "reason"),
    [
        (b"\0\0\0", "BODY", "failed to read message count"),
        (b"\0\0\0\0", "BODY", "invalid message count 0"),
        (b"\xff\xff\xff\xff", "BODY", "invalid message count -1"),
        (encode_batch([b""]), "MESSAGE", "invalid message(0) body size 0"),
        (encode_batch([b"a", b"", b"b"]), "MESSAGE", "invalid message(1) body size 0"),
        (b"\0\0\0\1\x80\0\0\0", "MESSAGE", "invalid message(0) body size -2147483648"),
        (encode_batch([b"x" * (MAX_MSG + 1)]), "MESSAGE", f"message too big {MAX_MSG + 1} > {MAX_MSG}"),
        (encode_batch([b"a", b"b"])[:-2], "MESSAGE", "failed to read message(1) body size"),
        (encode_batch([b"a", b"bc"])[:-1], "MESSAGE", "failed to read message body"),
    ],
)
@pytest.mark.parametrize("limit", [1, 1000])
def test_a_batch_is_refused_as_a_whole(data: bytes, kind: str, reason: str, limit: int) -> None:
    """Any batch beside a slow decoder: tests/properties/test_small_parsers.py."""
    with pytest.raises(BatchError) as caught:
        decode(b"head" + data + b"tail", at=4, end=4 + len(data), limit=limit)
    assert (caught.value.kind, str(caught.value)) == (kind, reason)


def test_a_long_batch_is_decoded_in_steps() -> None:
    bodies = [b"%d" % n for n in range(10)]
    data = encode_batch(bodies)
    decoder = BatchDecoder(builder(), data, 0, len(data), max_msg_size=MAX_MSG, max_body_size=MAX_BODY)
    assert [decoder.step(4) for _ in range(3)] == [False, False, True]
    for batch, slice_ in zip(decoder.batches, (bodies[:4], bodies[4:8], bodies[8:]), strict=True):
        check(batch, slice_)


def test_the_count_is_bounded_by_what_a_body_can_hold() -> None:
    most = (MAX_BODY - 4) // 5
    bodies = [b"x"] * most
    check(decode(encode_batch(bodies))[0][0], bodies)
    with pytest.raises(BatchError, match=f"invalid message count {most + 1}"):
        decode(encode_batch([*bodies, b"x"]))
