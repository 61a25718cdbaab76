"""Bodies of HTTP/1 requests: bytes as they come in, the body's own bytes and what follows it out."""

from __future__ import annotations

import re

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\n]*)?\r?\n")
MAX_LINE = 4096
"""Bytes of a chunk's size line, and of all trailers together."""


class BadBody(Exception):
    """The body can't be read: it is malformed, or ended before its end."""


class FixedBody:
    """A body with a Content-Length."""

    def __init__(self, length: int) -> None:
        self.left: int | None = length
        """Bytes that are still to come."""

    @property
    def complete(self) -> bool:
        """Whether all of it came."""
        return not self.left

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """The body's part of ``data``, and what comes behind the body."""
        left = self.left or 0
        self.left = max(left - len(data), 0)
        return [data[:left]], data[left:]


class ChunkedBody:
    """A body in chunks; sizes have no sign and extensions mean nothing, trailers are thrown away."""

    left: int | None = None
    """Nobody knows how much is still to come."""

    def __init__(self) -> None:
        self.complete = False
        self._kept = b""  # an incomplete size line, or incomplete trailers
        self._chunk = 0  # bytes that the current chunk still lacks
        self._end_due = False  # a chunk's last line end is still to come
        self._trailers = False

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """The body's part of ``data``, and what comes behind the body; raises BadBody."""
        data, self._kept = self._kept + data, b""
        found: list[bytes] = []
        at, end = 0, len(data)
        while at < end and not self._trailers:
            if self._chunk:
                part = data[at : at + self._chunk]
                found.append(part)
                at += len(part)
                self._chunk -= len(part)
                continue
            if self._end_due:
                line_end = data[at : at + 2]
                if not b"\r\n".startswith(line_end):
                    raise BadBody("malformed chunked encoding")
                if len(line_end) < 2:
                    break
                self._end_due = False
                at += 2
                continue
            line = _SIZE.match(data, at)
            if line is None:
                if b"\n" in data[at:] or end - at > MAX_LINE:
                    raise BadBody("invalid chunk size")
                break
            at = line.end()
            self._chunk = int(line[1], 16)
            self._end_due = self._chunk > 0
            self._trailers = not self._chunk
        if not self._trailers:
            self._kept = data[at:]
            return found, b""
        stop = at + 2 if data.startswith(b"\r\n", at) else data.find(b"\r\n\r\n", at) + 4
        if stop >= 4 or data.startswith(b"\r\n", at):
            self.complete = True
            return found, data[stop:]
        if end - at > MAX_LINE:
            raise BadBody("trailers are too long")
        self._kept = data[at:]
        return found, b""
