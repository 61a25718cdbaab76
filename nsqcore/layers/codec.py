"""What a codec is: TLS, deflate or snappy between a connection's bytes and the protocol's (nsqd reference, 2.7)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

PIECE = 64 * 1024
"""Bytes that :meth:`Codec.decode` yields at most at a time: what a bomb can cost before somebody looks."""


class CodecError(Exception):
    """The peer sent what the codec can't read; the text says what. Nothing more can be read from it."""


class EndOfStream(Exception):
    """The peer ended its side in order (TLS: close_notify); what follows means nothing."""


class Codec(Protocol):
    """One layer of a connection. Knows no sockets and no loop."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` means, in pieces of at most :data:`PIECE` bytes; none while a unit is incomplete.

        Lazy: who stops iterating for a while has bounded the work, and goes on with the same iterator before
        giving more data. Raises CodecError and EndOfStream; of the bytes given together with a fault, some may
        be lost that could have been read.
        """

    def encode(self, data: bytes) -> bytes:
        """What goes over the wire for ``data``, complete: the peer can decode all of it at once.

        ``data`` is not empty. Bytes that :meth:`reply` would have given come first.
        """

    def reply(self) -> bytes:
        """Bytes the codec itself has to send (handshake records, alerts); often empty. Taken by asking.

        Asked when :meth:`decode` has come to its end, an error included, and before what decoding a handshake's
        last bytes lets the protocol say.
        """

    def end(self) -> bytes:
        """Bytes that end our side of the stream in order (TLS: close_notify); often empty. Nothing is encoded after."""


class Agreed(NamedTuple):
    """What a TLS handshake came to."""

    version: str
    """``TLS1.0`` to ``TLS1.3``."""
    cipher_suite: str
    """Its registered name, such as ``TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256``."""
    common_name: str
    """The subject's common name in the client's certificate; empty without."""


class HandshakeCodec(Codec, Protocol):
    """A codec that has to agree with the peer before it can carry anything."""

    @property
    def handshaken(self) -> bool:
        """Whether it carries data from now on; True before :meth:`decode` yields the first piece."""

    def agreed(self) -> Agreed:
        """What was agreed on, once it carries data."""


class Tls(Protocol):
    """Makes the TLS layer of one connection each; there is one where there is a certificate."""

    def codec(self) -> HandshakeCodec:
        """A server's side, its handshake not begun."""
