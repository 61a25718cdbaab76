"""A message as the frame of its next delivery: one immutable ``bytes``, built once, shared by all channels.

::

    0      4        8           16         18          34
    | size | type=2 | timestamp | attempts | id (hex)  | body ...

The wire counts the delivery under way, the disk only past ones. Two kinds of frames follow from that:

- a *fresh* frame goes out as it is: its attempts are 1;
- a *past* frame tells how often it was delivered: a frame that comes back from a consumer is one already,
  a deferred message starts as one with attempts 0. :func:`next_delivery` makes of it the frame to send.

A disk record is a length and a past frame from its timestamp on.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable, Sequence
from struct import Struct

from nsqd.errors import BatchError, ShortBatch
from nsqd.guid import SEQUENCES, SUFFIXES, Ids

FRAME_HEAD = Struct(">IIqH")  # size, frame type, timestamp, attempts
FRAME_OVERHEAD = 34  # bytes of a frame that are not body
RECORD_OVERHEAD = 26  # bytes of a disk record that are not body, its length field not counted
MESSAGE = 2
_U16, _U32, _I32 = Struct(">H"), Struct(">I"), Struct(">i")
_SIZE_AND_TYPE = Struct(">II")
_LISTED = 4096
_SIZES = [_U32.pack(size + FRAME_OVERHEAD - 4) for size in range(_LISTED)]
"""The first field of a frame by the size of its body. Made anew at each change of size, batches of mixed sizes would
cost two thirds more than those of equal ones; so it is a tenth."""
_NEVER, _ONCE = b"\0\0", b"\0\1"

SLICE = 8_000
"""Messages of a batch that are built in one go, about 3 ms; longer batches let others have the loop between."""


class Batch:
    """Messages that are published together, as frames.

    ``size`` is the bytes of all frames, ``largest`` a bound on the longest one: both are known to the
    decoder for nothing, and spare the queues a look at every message.
    """

    __slots__ = ("frames", "largest", "size")

    def __init__(self, frames: list[bytes], size: int, largest: int) -> None:
        self.frames = frames
        self.size = size
        self.largest = largest


class FrameBuilder:
    """Makes frames of bodies; one per process, for it hands out the ids."""

    def __init__(self, ids: Ids) -> None:
        self.ids = ids

    def one(self, body: bytes, attempts: int = 1) -> Batch:
        """A batch of one message; ``attempts`` 0 makes a past frame, for deferral."""
        now = time.time_ns()
        ids = self.ids
        sequence = ids.sequence if now < ids.until and ids.sequence < SEQUENCES else ids.at(now)
        ids.sequence = sequence + 1
        size = len(body) + FRAME_OVERHEAD
        frame = b"".join(
            (FRAME_HEAD.pack(size - 4, MESSAGE, now, attempts), ids.prefix, SUFFIXES[sequence], body)
        )
        return Batch([frame], size, size)

    def many(self, bodies: Sequence[bytes]) -> Batch:
        """A batch of these bodies."""
        now, ids, join, sizes = time.time_ns(), self.ids, b"".join, _SIZES
        frames: list[bytes] = []
        append, left, total, largest = frames.append, iter(bodies), 0, 0
        while len(frames) < len(bodies):
            before, sequence = len(frames), ids.at(now)
            rest = _rest_of_head(now, ids)
            for suffix, body in zip(SUFFIXES[sequence : sequence + len(bodies) - before], left, strict=False):
                size = len(body)
                append(join((sizes[size] if size < _LISTED else _U32.pack(size + 30), rest, suffix, body)))
                total += size
                if size > largest:
                    largest = size
            ids.sequence = sequence + len(frames) - before
        return Batch(frames, total + FRAME_OVERHEAD * len(frames), largest + FRAME_OVERHEAD)


def _rest_of_head(now: int, ids: Ids) -> bytes:
    """What is between the size and the end of the id in fresh frames made at ``now``, Unix ns."""
    return FRAME_HEAD.pack(0, MESSAGE, now, 1)[4:] + ids.prefix


def check_count(data: bytes, at: int, max_body_size: int) -> int:
    """The count that a batch begins with; raises BatchError for one that no body can hold."""
    count: int = _I32.unpack_from(data, at)[0]
    if not 0 < count <= (max_body_size - 4) // 5:
        raise BatchError("BODY", f"invalid message count {count}")
    return count


def look_ahead(
    data: bytes, at: int, end: int, *, index: int, count: int, max_msg_size: int
) -> tuple[int, int]:
    """Looks at the lengths of a batch's messages from ``index`` on, the first at ``at``, that lie before ``end``.

    Returns the index of the next message and where it begins, which may be behind ``end``. Raises BatchError
    for the first length that is wrong.
    """
    while index < count and at + 4 <= end:
        (size,) = _I32.unpack_from(data, at)
        if size <= 0:
            raise BatchError("MESSAGE", f"invalid message({index}) body size {size}")
        if size > max_msg_size:
            raise BatchError("MESSAGE", f"message too big {size} > {max_msg_size}")
        at += 4 + size
        index += 1
    return index, at


class BatchDecoder:
    """Decodes the body of an MPUB from its count on: ``count`` times a length and a message.

    All or nothing: a wrong length anywhere raises BatchError, with the index of the message. A long batch
    is decoded in steps, so that the loop can do other things between them.
    """

    def __init__(
        self, builder: FrameBuilder, data: bytes, at: int, end: int, *, max_msg_size: int, max_body_size: int
    ) -> None:
        """``data[at:end]`` is the count and the messages; raises BatchError when the count is impossible."""
        if end - at < 4:
            raise ShortBatch("BODY", "failed to read message count")
        count = check_count(data, at, max_body_size)
        self._ids = builder.ids
        self._data, self._start, self._at, self._end = data, at + 4, at + 4, end
        self._count = self._left = count
        self._max = max_msg_size
        self._now = time.time_ns()
        self.batches: list[Batch] = []
        """What was decoded, a batch per step."""

    @property
    def end(self) -> int:
        """Where the last message ended, once all are decoded."""
        return self._at

    def step(self, limit: int = SLICE) -> bool:
        """Decodes up to ``limit`` messages more; True when that were the last."""
        data, at, now, largest, longest = self._data, self._at, self._now, 0, self._max
        view, pack = memoryview(data), _U32.pack  # a large body is not copied twice
        ids, join, size_at, sizes = self._ids, b"".join, _U32.unpack_from, _SIZES
        frames: list[bytes] = []
        append, todo = frames.append, min(limit, self._left)
        try:
            while len(frames) < todo:
                before, sequence = len(frames), ids.at(now)
                rest = _rest_of_head(now, ids)
                for suffix in SUFFIXES[sequence : sequence + todo - before]:
                    (size,) = size_at(data, at)
                    if not 0 < size <= largest:
                        if not 0 < size <= longest:
                            raise self._refusal()
                        largest = size
                    at += 4
                    if size < _LISTED:
                        append(join((sizes[size], rest, suffix, data[at : at + size])))
                    else:
                        append(join((pack(size + 30), rest, suffix, view[at : at + size])))
                    at += size
                ids.sequence = sequence + len(frames) - before
        except struct.error:
            at = self._end + 1  # data ended inside a length
        if at > self._end:  # a slice past the end came out short: nothing of it is used
            raise self._refusal()
        body_size = at - self._at - 4 * todo
        self.batches.append(Batch(frames, body_size + FRAME_OVERHEAD * todo, largest + FRAME_OVERHEAD))
        self._at = at
        self._left -= todo
        return not self._left

    def _refusal(self) -> BatchError:
        """Walks the batch again, up to the message that is wrong, to say which and why."""
        try:
            index, at = look_ahead(
                self._data, self._start, self._end, index=0, count=self._count, max_msg_size=self._max
            )
        except BatchError as e:
            return e
        what = "message body" if at > self._end else f"message({index}) body size"
        return ShortBatch("MESSAGE", f"failed to read {what}")


def id_of(frame: bytes) -> bytes:
    """The 16 bytes of the message's id."""
    return frame[18:34]


def next_delivery(past: bytes) -> bytes:
    """The frame to send of a past frame: one attempt more (65,535 wraps to 0, as the original's does)."""
    attempts = ((past[16] << 8 | past[17]) + 1) & 0xFFFF
    return b"".join((past[:16], _U16.pack(attempts), past[18:]))


def first_delivery(frame: bytes) -> bool:
    """Whether nobody was sent the message before."""
    return frame[16:18] == _ONCE


def undelivered(frame: bytes) -> bytes:
    """The past frame of a frame that was made to be sent, and was not."""
    attempts = ((frame[16] << 8 | frame[17]) - 1) & 0xFFFF
    return b"".join((frame[:16], _U16.pack(attempts), frame[18:]))


def records_of_fresh(frames: Sequence[bytes]) -> list[bytes]:
    """Disk records of fresh frames: never delivered so far."""
    join, pack = b"".join, _U32.pack
    return [join((pack(len(f) - 8), f[8:16], _NEVER, f[18:])) for f in frames]


def records_of_past(frames: Iterable[bytes]) -> list[bytes]:
    """Disk records of past frames."""
    return [_U32.pack(len(f) - 8) + f[8:] for f in frames]


def payload_of_past(past: bytes) -> bytes:
    """A past frame from its timestamp on: a disk record without its length."""
    return past[8:]


def past_of_payload(payload: bytes) -> bytes:
    """The past frame of such bytes."""
    return _SIZE_AND_TYPE.pack(len(payload) + 4, MESSAGE) + payload


def record_of_payload(payload: bytes) -> bytes:
    """The disk record of such bytes."""
    return _U32.pack(len(payload)) + payload


def frame_of_record(record: bytes) -> bytes:
    """The frame to send of a disk record (its length field included)."""
    if record[12:14] == _NEVER:
        attempts = _ONCE
    else:
        attempts = _U16.pack(((record[12] << 8 | record[13]) + 1) & 0xFFFF)
    return b"".join((_SIZE_AND_TYPE.pack(len(record), MESSAGE), record[4:12], attempts, record[14:]))
