"""What a codec is: TLS, deflate or snappy between a connection's bytes and the protocol's (nsqd reference, 2.7)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

PIECE = 64 * 1024
"""Bytes that :meth:`Codec.decode` yields at most at a time: what a bomb can cost before somebody looks."""


class CodecError(Exception):
    """The peer sent what the codec can't read; the text says what. Nothing more can be read from it."""


class Codec(Protocol):
    """One layer of a connection. Knows no sockets and no loop."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` means, in pieces of at most :data:`PIECE` bytes; none while a unit is incomplete.

        Lazy: who stops iterating for a while has bounded the work, and goes on with the same iterator before
        giving more data. Raises CodecError.
        """

    def encode(self, data: bytes) -> bytes:
        """What goes over the wire for ``data``, complete: the peer can decode all of it at once."""

    def reply(self) -> bytes:
        """Bytes the codec itself has to send (handshake records, alerts); often empty. Taken by asking."""
