"""What nsqd logs at DEBUG only: every command, and every message that is delivered.

Callers ask ``logs.debugging`` once per read or per batch, so that nothing of this costs anything otherwise.
"""

from __future__ import annotations

import logging
from struct import Struct

log = logging.getLogger(__name__)

LONGEST_BODY = 1024
"""Bytes of a message's body that are shown."""

_I32 = Struct(">i")
_WITH_BODY = frozenset((b"PUB", b"DPUB", b"MPUB", b"IDENTIFY", b"AUTH"))
_HEADER = 34  # of a message's frame: size, type, timestamp, attempts, id


def command_end(buf: bytes, at: int) -> int:
    """Where the command ends that begins at ``at``, its body included; -1 when it is not all there."""
    newline = buf.find(b"\n", at)
    if newline < 0:
        return -1
    end = newline + 1
    if buf[at:newline].rstrip(b"\r").partition(b" ")[0] in _WITH_BODY:
        if len(buf) < end + 4:
            return -1
        end += 4 + max(0, _I32.unpack_from(buf, end)[0])
    return end if end <= len(buf) else -1


def show_command(remote_address: str, buf: bytes, at: int) -> None:
    """Logs the line of the command that begins at ``at``."""
    line = buf[at : max(at, buf.find(b"\n", at))].removesuffix(b"\r")
    log.debug("PROTOCOL(V2): [%s] [%s]", remote_address, line.decode("utf-8", "backslashreplace"))


def show_messages(remote_address: str, frames: list[bytes]) -> None:
    """Logs the messages that are on their way to a client."""
    for frame in frames:
        body = frame[_HEADER : _HEADER + LONGEST_BODY].decode("utf-8", "backslashreplace")
        more = f"... ({len(frame) - _HEADER} bytes)" if len(frame) - _HEADER > LONGEST_BODY else ""
        log.debug(
            "PROTOCOL(V2): writing msg(%s) to client(%s) - %s%s",
            frame[18:_HEADER].decode("ascii", "backslashreplace"),
            remote_address,
            body,
            more,
        )
