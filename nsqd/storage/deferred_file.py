"""``<queue>.diskqueue.deferred.dat``: when the messages that a queue had deferred are due.

The original's files have no place for it, and the original looks at no file of this name. A stream of
msgpack objects::

    ["nsqd-deferred", version]
    [state, gone]                       9 bytes each at most, replaced in place
    [crc32, map]                        the map packed by itself, see Header
    [crc32, due, payload] ...           by due time; the crc is that of the 8 bytes of due and of the payload

``due`` is Unix time in ns, ``payload`` a disk record without its length. The numbers of the entries have
fixed widths, so that any msgpack reader takes them and ours can find the next one behind damage.

**Where a message lives.** At a clean stop the deferred messages are written twice: as the last segments of the
queue, where the original finds them (it delivers them at once), and into this file. Its *state* is then
``COPIED``. The next start finds the queue exactly as it was left, removes those segments and makes the state
``ALONE``; from then on this file is where the messages are, and ``gone`` counts those of them that have come
due. If something else used the queue meanwhile, the segments are right, and the file is of no more use. So
every crash leaves each message in one of the two places, and the state says in which.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from struct import Struct, error
from typing import NamedTuple
from zlib import crc32

from nsqd.frames import RECORD_OVERHEAD
from nsqd.storage.atomic import write_atomically
from nsqd.storage.segments import Position, QueueFiles

log = logging.getLogger(__name__)

VERSION = 1
COPIED, ALONE = 1, 2
_NAME = b"\x92\xadnsqd-deferred"
_STATE = Struct(">ccBcQ")
_STATE_AT = len(_NAME) + 1
_BOX = Struct(">ccIcI")  # array of 2, crc, bytes
_ENTRY = Struct(">ccIcqcI")  # array of 3, crc, due, bytes
_DUE = Struct(">q")
_ENTRY_MARK = b"\x93\xce"


class Message(NamedTuple):
    """A deferred message."""

    due: int
    """Unix time, ns."""
    payload: bytes
    """A disk record without its length."""


class Header(NamedTuple):
    """What the file says about the queue beside it, as it was left."""

    queue: str
    stopped: int
    """When, Unix time in ns."""
    messages: int
    """How many are in the file."""
    tail: int
    """The first of the segments that hold the same messages."""
    depth: int
    read: Position
    write: Position


class Contents(NamedTuple):
    """What a file holds."""

    state: int
    header: Header | None
    """None when it can't be read."""
    messages: list[Message]
    """Those that have not come due."""
    damage: int | None
    """Where in the file something is wrong; None when nothing is."""


class ForeignFile(Exception):
    """A file that is not ours to read: of a newer version, or none of ours at all. The text says which."""


def pack(header: Header, messages: Sequence[Message], state: int) -> Iterator[bytes]:
    """The file, in pieces; messages go by due time."""
    from msgpack import packb  # late: a start without such files does without

    yield _NAME + bytes((VERSION,))
    yield _pack_state(state, 0)
    text: bytes = packb(header._asdict())
    yield _BOX.pack(b"\x92", b"\xce", crc32(text), b"\xc6", len(text)) + text
    for due, payload in messages:
        crc = crc32(payload, crc32(_DUE.pack(due)))
        yield _ENTRY.pack(b"\x93", b"\xce", crc, b"\xd3", due, b"\xc6", len(payload))
        yield payload


def _pack_state(state: int, gone: int) -> bytes:
    return _STATE.pack(b"\x92", b"\xcc", state, b"\xcf", gone)


def unpack(data: bytes) -> Contents:
    """What is in a file; whatever stands where something is wrong is passed over. Raises ForeignFile."""
    if not data.startswith(_NAME) or len(data) <= len(_NAME):
        raise ForeignFile("it does not begin as a file of deferred messages")
    if data[len(_NAME)] != VERSION:
        raise ForeignFile(f"it has version {data[len(_NAME)]}, this nsqd knows version {VERSION}")
    at = _STATE_AT
    damage: int | None = None
    state, gone = ALONE, 0  # what loses nothing
    try:
        *marks, state, mark, gone = _STATE.unpack_from(data, at)
        if (*marks, mark) != (b"\x92", b"\xcc", b"\xcf") or state not in (COPIED, ALONE):
            damage, state, gone = at, ALONE, 0
    except error:
        damage = at
    at = min(at + _STATE.size, len(data))
    header, behind = _unpack_header(data, at)
    if header is None and damage is None:
        damage = at
    messages: list[Message] = []
    wrong, at = None, behind
    while at < len(data):
        message, behind = _unpack_entry(data, at)
        if message is not None:
            messages.append(message)
            at = behind
        else:
            if wrong is None:
                wrong = at
            at = data.find(_ENTRY_MARK, at + 1)
            if at < 0:
                break
    if wrong is None and header is not None and len(messages) != header.messages:
        wrong = len(data)
    if damage is None:
        damage = wrong
    if damage is None or wrong is None:  # else it is not known which ones are gone
        messages = messages[gone:]
    return Contents(state, header, messages, damage)


def _unpack_header(data: bytes, at: int) -> tuple[Header | None, int]:
    from msgpack import unpackb

    try:
        *marks, crc, mark, size = _BOX.unpack_from(data, at)
        text = data[at + _BOX.size : at + _BOX.size + size]
        if (*marks, mark) != (b"\x92", b"\xce", b"\xc6") or len(text) < size or crc32(text) != crc:
            return None, at
        header = Header(**unpackb(text))
        header = header._replace(read=Position(*header.read), write=Position(*header.write))
    except (error, ValueError, TypeError):
        return None, at
    return header, at + _BOX.size + size


def _unpack_entry(data: bytes, at: int) -> tuple[Message | None, int]:
    try:
        *marks, crc, mark, due, kind, size = _ENTRY.unpack_from(data, at)
    except error:
        return None, at
    begin = at + _ENTRY.size
    payload = data[begin : begin + size]
    if (
        (*marks, mark, kind) != (b"\x93", b"\xce", b"\xd3", b"\xc6")
        or not RECORD_OVERHEAD <= size == len(payload)
        or crc32(payload, crc32(_DUE.pack(due))) != crc
    ):
        return None, at
    return Message(due, payload), begin + size


class DeferredFile:
    """The file of one queue. All of it blocks, and raises OSError."""

    def __init__(self, files: QueueFiles) -> None:
        self._files = files
        self.path: Path = files.deferred_path

    def load(self) -> Contents | None:
        """What it holds; None when it is not there, or not ours: then it is set aside, and that is logged."""
        try:
            data = self.path.read_bytes()
            contents = unpack(data)
        except FileNotFoundError:
            return None
        except ForeignFile as e:
            bad = self._files.keep_as_bad(self.path)
            self.remove()
            log.error("DISKQUEUE(%s) %s is kept as %s - %s", self._files.name, self.path, bad, e)
            return None
        if contents.damage is not None:
            log.error(
                "DISKQUEUE(%s) reading at %d of %s, which is kept as %s - damaged, %d deferred messages found",
                self._files.name,
                contents.damage,
                self.path,
                self._files.keep_as_bad(self.path),
                len(contents.messages),
            )
        return contents

    def store(self, header: Header, messages: Sequence[Message], state: int) -> None:
        """Replaces the file."""
        write_atomically(self.path, pack(header, messages, state))

    def note(self, state: int, gone: int) -> None:
        """Replaces the state."""
        fd = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(fd, _pack_state(state, gone), _STATE_AT)
            os.fsync(fd)
        finally:
            os.close(fd)

    def remove(self) -> None:
        """Removes it; it may be gone."""
        self.path.unlink(missing_ok=True)
