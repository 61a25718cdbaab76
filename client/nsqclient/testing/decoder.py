"""Commands as they come over a connection: bytes in, commands out. Takes any peer at its word."""

from __future__ import annotations

from typing import NamedTuple

from nsqclient.testing.record import shown

LONGEST_LINE = 16_384
"""Bytes of a command's line; nsqd reads no longer ones."""
LARGEST_BODY = 64 << 20
"""Bytes; what is larger is no client of nsqd."""
_ONE_BODY = (b"IDENTIFY", b"AUTH", b"PUB", b"DPUB")


class NotACommand(Exception):
    """What arrived is no command; nothing more can be read."""


class Command(NamedTuple):
    """One command, whole."""

    line: str
    """Verb and parameters."""
    bodies: tuple[bytes, ...] = ()
    """One for PUB, DPUB, IDENTIFY and AUTH, any number for MPUB."""

    @property
    def verb(self) -> str:
        """The first word."""
        return self.line.partition(" ")[0]

    @property
    def text(self) -> str:
        """As tests compare it: ``PUB t body``, ``MPUB t a b``, ``DPUB t 100 body``; ``IDENTIFY`` and ``AUTH`` alone."""
        if self.verb in ("IDENTIFY", "AUTH"):
            return self.verb
        return " ".join([self.line, *map(shown, self.bodies)])


class CommandDecoder:
    """Bytes of a client, behind the magic."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[Command]:
        """The commands that ``data`` completes; raises NotACommand."""
        self._buffer += data
        found: list[Command] = []
        at = 0
        while (end := self._buffer.find(b"\n", at)) >= 0:
            line = self._buffer[at:end].removesuffix(b"\r")
            verb = line.partition(b" ")[0]
            bodies: tuple[bytes, ...] = ()
            at_body = end + 1
            if verb in _ONE_BODY or verb == b"MPUB":
                body = self._sized(at_body)
                if body is None:
                    break
                at_body += 4 + len(body)
                bodies = (body,) if verb in _ONE_BODY else _batch(body)
            found.append(Command(line.decode("utf-8", "backslashreplace"), bodies))
            at = at_body
        self._buffer = self._buffer[at:]
        if end < 0 and len(self._buffer) > LONGEST_LINE:
            raise NotACommand(f"a line of more than {LONGEST_LINE} bytes")
        return found

    def _sized(self, at: int) -> bytes | None:
        size = int.from_bytes(self._buffer[at : at + 4], "big")
        if size > LARGEST_BODY:
            raise NotACommand(f"a body of {size} bytes")
        if len(self._buffer) < at + 4 + size or len(self._buffer) < at + 4:
            return None
        return self._buffer[at + 4 : at + 4 + size]


def _batch(body: bytes) -> tuple[bytes, ...]:
    bodies: list[bytes] = []
    at, count = 4, int.from_bytes(body[:4], "big")
    while at < len(body) and len(bodies) < count:
        size = int.from_bytes(body[at : at + 4], "big")
        bodies.append(body[at + 4 : at + 4 + size])
        at += 4 + size
    if at != max(4, len(body)) or len(bodies) != count:
        raise NotACommand("an MPUB whose lengths do not agree")
    return tuple(bodies)
