"""nsqd to client: frames, and the message inside one.

::

    0        4        8                          response and error frames
    | size   | type   | data ...                 size counts type and data

    0        4        8            16       18            34
    | size   | type=2 | timestamp  | attempts | id (hex)  | body ...      message frames

All integers are big-endian; the timestamp is Unix nanoseconds at publish (nsqd protocol, section 2.3).
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

RESPONSE, ERROR, MESSAGE = 0, 1, 2

MAGIC_V2 = b"  V2"
OK = b"OK"
HEARTBEAT = b"_heartbeat_"
CLOSE_WAIT = b"CLOSE_WAIT"

HEAD = Struct(">iI")
MESSAGE_HEAD = Struct(">qH16s")
MESSAGE_HEAD_SIZE = MESSAGE_HEAD.size  # 26
ID_SIZE = 16


class FrameError(Exception):
    """What arrived is not a frame; the connection can't be used any more."""


class WireMessage(NamedTuple):
    """The data of a message frame."""

    timestamp: int
    """Unix nanoseconds at publish."""
    attempts: int
    """Deliveries so far, this one included."""
    id: bytes
    body: bytes


def encode_frame(kind: int, data: bytes) -> bytes:
    """A whole frame."""
    return HEAD.pack(len(data) + 4, kind) + data


OK_FRAME = encode_frame(RESPONSE, OK)


def decode_message(data: bytes) -> WireMessage:
    """Reads the data of a message frame; raises FrameError when it is too short."""
    if len(data) < MESSAGE_HEAD_SIZE:
        raise FrameError(f"message of {len(data)} bytes is shorter than its {MESSAGE_HEAD_SIZE} byte head")
    timestamp, attempts, message_id = MESSAGE_HEAD.unpack_from(data)
    return WireMessage(timestamp, attempts, message_id, data[MESSAGE_HEAD_SIZE:])


def wrong_size(head: bytes, size: int, max_size: int) -> FrameError:
    """What to say of a frame whose first bytes are ``head``."""
    hint = " (is this an HTTP port?)" if head == b"HTTP" else ""
    return FrameError(f"frame size {size} is not in 4 to {max_size}{hint}")


class FrameDecoder:
    """Bytes in, frames out. ``max_size`` (bytes) bounds one frame, so that a wrong peer can't eat memory."""

    def __init__(self, max_size: int = 64 << 20) -> None:
        self.max_size = max_size
        self._parts: list[bytes] = []
        self._have = 0
        self._need = 8  # bytes wanted before looking again: joining the parts costs a copy

    @property
    def whole(self) -> bool:
        """Whether nothing waits for the rest of its frame."""
        return not self._have

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The (type, data) of each frame that ``data`` completes; raises FrameError for a wrong size."""
        self._parts.append(data)
        self._have += len(data)
        if self._have < self._need:
            return []
        buffer = data if len(self._parts) == 1 else b"".join(self._parts)
        at, end = 0, len(buffer)
        frames: list[tuple[int, bytes]] = []
        self._need = 8
        while end - at >= 8:
            size, kind = HEAD.unpack_from(buffer, at)
            if not 4 <= size <= self.max_size:
                raise wrong_size(buffer[at : at + 4], size, self.max_size)
            if end - at < size + 4:
                self._need = size + 4
                break
            frames.append((kind, buffer[at + 8 : at + 4 + size]))
            at += size + 4
        rest = buffer[at:] if at else buffer
        self._parts = [rest] if rest else []
        self._have = len(rest)
        return frames
