"""How records become bytes of a file, how far a file that was cut is whole, and what lies behind. Changes nothing.

Plain files are lines. Gzip files are a chain of members, at least one for each sync, so that everything synced can
be read by any gzip reader whatever happens afterwards::

    1f 8b 08 04  mtime (0)  xfl os  | 08 00  'N' 'Q'  04 00  size | deflate data | crc32  length
    10 bytes, FEXTRA set            | extra field, 10 bytes      |              | 8 bytes

The extra field, which readers skip, holds the size of the whole member. So the end of the last whole member is
found by hopping from head to head, however large the file is.
"""

from __future__ import annotations

import enum
import os
import struct
import zlib

HEAD = struct.Struct("<4sIBBH2sHI")
HEAD_MAGIC = b"\x1f\x8b\x08\x04"
UNIX = 3
EXTRA_SIZE = 8
FIELD = b"NQ"
FIELD_SIZE = 4
TAIL = struct.Struct("<II")
GZIP_MAGIC = b"\x1f\x8b\x08"
LONGEST_LINE = 1 << 20
"""Bytes of a message that nsqd takes if it is not told otherwise."""
BLOCK = 1 << 16
"""Bytes that are read at a time when a file is looked through; deflated, they may become 64 MB."""


class Rest(enum.Enum):
    """What lies behind the whole members or lines of a file."""

    NOTHING = enum.auto()
    TORN = enum.auto()
    """The beginning of what was never synced."""
    DOUBTFUL = enum.auto()
    """Bytes that may be the trace of a power failure, or may have been good once."""
    DAMAGED = enum.auto()
    """Bytes with whole members behind them, which may have been synced."""


def member(data: bytes, level: int) -> bytes:
    """``data`` as a gzip member; less than 4 GB."""
    deflate = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = deflate.compress(data) + deflate.flush()
    size = HEAD.size + len(packed) + TAIL.size
    head = HEAD.pack(HEAD_MAGIC, 0, 0, UNIX, EXTRA_SIZE, FIELD, FIELD_SIZE, size)
    return b"".join((head, packed, TAIL.pack(zlib.crc32(data), len(data) & 0xFFFFFFFF)))


def is_gzip(fd: int) -> bool:
    """Whether a file begins as gzip files do."""
    return os.pread(fd, len(GZIP_MAGIC), 0) == GZIP_MAGIC


def is_ours(fd: int) -> bool:
    """Whether a gzip file begins with a member as :func:`member` makes them, or with a part of its head."""
    head = os.pread(fd, HEAD.size, 0)
    if len(head) < HEAD.size:
        return HEAD_MAGIC.startswith(head[:4])
    return _size(head) > 0


def whole_members(fd: int, size: int) -> tuple[int, Rest]:
    """Up to where a gzip file of ``size`` bytes is a chain of whole members, and what lies behind.

    Members that others made are read through, those of ours are hopped over, except for the last.
    """
    last = end = 0
    while end < size:
        length = _size(os.pread(fd, HEAD.size, end)) or _length_by_reading(fd, end)
        if not length or end + length > size:
            break
        last, end = end, end + length
    if end == size and end and not _reads_well(fd, last, end):
        end = last  # a power failure can leave a size without its bytes
    return end, _behind_members(fd, end, size)


def whole_lines(fd: int, size: int) -> tuple[int, Rest]:
    """Up to where a file of ``size`` bytes is whole lines, and what lies behind."""
    end = size
    while end > 0:
        start = max(0, end - BLOCK)
        newline = os.pread(fd, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end == size:
        return end, Rest.NOTHING
    # without a single line before it, or longer than a message, it is hardly what we left
    return end, Rest.TORN if end and size - end <= LONGEST_LINE else Rest.DOUBTFUL


def _behind_members(fd: int, at: int, size: int) -> Rest:
    if at == size:
        return Rest.NOTHING
    beginning = _is_beginning(fd, at)
    # one of ours may hold whole members, as messages may be compressed; in others a head may be damaged
    if beginning and (size - at < HEAD.size or _size(os.pread(fd, HEAD.size, at))):
        return Rest.TORN
    if _has_whole_member(fd, at + 1, size):
        return Rest.DAMAGED
    return Rest.TORN if beginning and at and not is_ours(fd) else Rest.DOUBTFUL


def _size(head: bytes) -> int:
    """The size of a member of ours from its head; 0 if it is none."""
    if len(head) < HEAD.size:
        return 0
    magic, _mtime, _xfl, _os, extra, field, field_size, size = HEAD.unpack(head)
    ours = magic == HEAD_MAGIC and extra == EXTRA_SIZE and field == FIELD and field_size == FIELD_SIZE
    return size if ours and size >= HEAD.size + TAIL.size else 0


def _length_by_reading(fd: int, at: int) -> int:
    """The length of the member that begins there; 0 if it is cut or none."""
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
    length = 0
    while not inflate.eof:
        data = os.pread(fd, BLOCK, at + length)
        if not data:
            return 0
        length += len(data)
        try:
            inflate.decompress(data)
        except zlib.error:
            return 0
    return length - len(inflate.unused_data)


def _reads_well(fd: int, start: int, end: int) -> bool:
    return _length_by_reading(fd, start) == end - start


def _is_beginning(fd: int, at: int) -> bool:
    """Whether the file ends within the member that begins there, and nothing is wrong with it so far."""
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
    if not GZIP_MAGIC.startswith(os.pread(fd, len(GZIP_MAGIC), at)):
        return False
    while data := os.pread(fd, BLOCK, at):
        at += len(data)
        try:
            inflate.decompress(data)
        except zlib.error:
            return False
        if inflate.eof:
            return False
    return True


def _has_whole_member(fd: int, at: int, size: int) -> bool:
    while at < size:
        block = os.pread(fd, BLOCK, at)
        place = block.find(GZIP_MAGIC)
        if place < 0:
            at += max(1, len(block) - len(GZIP_MAGIC) + 1)
        elif _length_by_reading(fd, at + place):
            return True
        else:
            at += place + 1
    return False
