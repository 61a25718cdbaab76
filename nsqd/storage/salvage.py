"""Finding the next record in a segment behind damage.

Records carry no checksum, so a place is judged by what stands there. A record is *plausible* when

- its length is possible: at least an empty message, and no more than the segment still holds;
- its timestamp lies between the years 2001 and 2077;
- its id is 16 lower-case hexadecimal digits;
- and something vouches for it: its id was made when its timestamp says (ids of nsqd tell), or it ends where
  the segment does, or where another record begins.

So bytes that merely look like numbers are not taken for messages. A body that holds copies of disk records
can still be mistaken for them, if its own record is damaged.
"""

from __future__ import annotations

import os
import re
from struct import Struct

from nsqd.frames import RECORD_OVERHEAD
from nsqd.guid import made_at

HEADER = 4 + RECORD_OVERHEAD
"""Bytes of a record before its body, the length field counted."""
WINDOW = 64 * 1024
"""Bytes that are searched in one go: 1 ms, or 5 ms where everything looks like an id."""

_HEAD = Struct(">iq2x16s")
_I32 = Struct(">i")
_ID_AT = 14
_ID = re.compile(rb"[0-9a-f]{16}")
# Where an id begins, with the first byte of a possible timestamp where it should be: no text has that.
_SIGHT = re.compile(rb"(?s)(?<=[\x0d-\x2f].{9})(?=[0-9a-f]{16})")
_EARLIEST, _LATEST = 0x0D << 56, 0x30 << 56
_AGREEING_NS = 3600 * 10**9


def next_record(fd: int, start: int, end: int) -> int | None:
    """The first plausible record that begins within a window from ``start`` on; None when there is none.

    ``end`` is where the segment ends. Raises OSError.
    """
    data = os.pread(fd, min(WINDOW + HEADER, end - start), start)
    for sight in _SIGHT.finditer(data):
        at = sight.start() - _ID_AT
        if at >= 0 and _is_plausible(fd, data, start, at, end):
            return start + at
    return None


def _is_plausible(fd: int, data: bytes, start: int, at: int, end: int) -> bool:
    length, timestamp, name = _HEAD.unpack_from(data, at)
    behind = start + at + 4 + length
    if length < RECORD_OVERHEAD or behind > end or not _EARLIEST <= timestamp < _LATEST:
        return False
    if behind == end or abs(made_at(name) - timestamp) < _AGREEING_NS:
        return True
    follower = os.pread(fd, min(HEADER, end - behind), behind)
    if len(follower) < HEADER:  # the segment was cut off there
        return len(follower) < 4 or _I32.unpack_from(follower)[0] >= RECORD_OVERHEAD
    length, timestamp, name = _HEAD.unpack(follower)
    return length >= RECORD_OVERHEAD and _EARLIEST <= timestamp < _LATEST and _ID.fullmatch(name) is not None
