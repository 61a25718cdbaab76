"""TLS as a layer of a connection: bytes in, bytes out, over OpenSSL's memory buffers (nsqd reference, 2.7 and 9).

:class:`TlsCodec` is what a codec owes to the connection. What it asks of TLS itself is an :class:`Engine`: the
``ssl`` module's here, and another library's in ``tls_any_cert`` for the one policy that ``ssl`` has no word for.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Protocol

from nsqcore.layers.codec import PIECE, Agreed, CodecError, EndOfStream

RECORD = 16_384
"""Bytes that a TLS record holds at most."""
SLICE = 4 * RECORD
"""Bytes given to OpenSSL in one go: its buffers never shrink, so a long write must not make them long."""
_HEAD = 5
"""Bytes of a record's head: type, version, length."""
_ALERT, _HANDSHAKE = 21, 22

CIPHERS = {
    "TLS_AES_128_GCM_SHA256": "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384": "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256": "TLS_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-AES128-GCM-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384": "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "ECDHE-RSA-CHACHA20-POLY1305": "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-AES128-SHA": "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "ECDHE-RSA-AES128-SHA": "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "ECDHE-ECDSA-AES256-SHA": "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "ECDHE-RSA-AES256-SHA": "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "AES128-GCM-SHA256": "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "AES256-GCM-SHA384": "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "AES128-SHA": "TLS_RSA_WITH_AES_128_CBC_SHA",
    "AES256-SHA": "TLS_RSA_WITH_AES_256_CBC_SHA",
}
"""The suites that are spoken, best first: OpenSSL's name and the registered one, which ``/stats`` shows."""

_GO_WORDS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "client didn't provide a certificate",
    "NO_SHARED_CIPHER": "no cipher suite supported by both client and server",
    "UNSUPPORTED_PROTOCOL": "client offered only unsupported versions",
    "VERSION_TOO_LOW": "client offered only unsupported versions",
}


class NotTls(CodecError):
    """What the peer sent first is no TLS at all; :attr:`head` is its beginning."""

    def __init__(self, head: bytes) -> None:
        super().__init__("tls: first record does not look like a TLS handshake")
        self.head = head


class Engine(Protocol):
    """One side of a connection in a TLS library, between two buffers."""

    def feed(self, data: bytes | memoryview) -> None:
        """Bytes from the peer."""

    def handshake(self) -> bool:
        """Goes on with the handshake; whether it is done. Raises CodecError."""

    def read(self, size: int) -> bytes | None:
        """Up to ``size`` bytes of what the peer means; None until more was fed. Raises CodecError, EndOfStream."""

    def pending(self) -> bool:
        """Whether another :meth:`read` is worth its while."""

    def write(self, data: bytes | memoryview) -> None:
        """Encrypts ``data``."""

    def output(self) -> bytes:
        """What has to go to the peer; taken by asking."""

    def end(self) -> None:
        """Says that nothing more will be written."""

    def version(self) -> str:
        """OpenSSL's name of the version: ``TLSv1.2``."""

    def cipher(self) -> str:
        """OpenSSL's name of the cipher suite."""

    def common_name(self) -> str:
        """The subject's common name in the peer's certificate; empty without."""


class TlsCodec:
    """One side of one TLS connection: a server's, or after :meth:`begin` a client's."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._head = b""
        self._looked = False  # at the first bytes
        self._said = b""  # taken from the engine, not yet by reply()
        self._renegotiates = False  # the version lets the client ask for another handshake
        self._broken = False  # by the peer, behind the handshake: a fatal alert ends both directions
        self.handshaken = False
        """Whether it carries data; until then nothing may be encoded."""

    def begin(self) -> None:
        """A client speaks first: its hello waits in :meth:`reply`. Raises CodecError."""
        self._engine.handshake()

    def decode(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` means, in pieces; none before the handshake is done.

        Raises CodecError (an alert waits in :meth:`reply`), and EndOfStream behind what the peer said last.
        """
        if self.handshaken and len(data) <= SLICE and not self._renegotiates:
            # Mostly one record, of a client that waits for its answer: spares two generators.
            engine = self._engine
            engine.feed(data)
            try:
                part = engine.read(RECORD)
            except CodecError:
                self._broken = True
                raise
            if part is None:
                return iter(())
            return self._drain(part) if engine.pending() else iter((part,))
        return self._decode(data)

    def _decode(self, data: bytes) -> Iterator[bytes]:
        if not self._looked:
            self._look(data)
        view = memoryview(data)
        for at in range(0, len(data), SLICE):
            self._engine.feed(view[at : at + SLICE])
            if not self.handshaken:
                if not self._engine.handshake():
                    continue
                self.handshaken = True
                self._said = self._engine.output()
                self._renegotiates = self._engine.version() != "TLSv1.3"
            yield from self._drain()
            if self._renegotiates:
                # Before TLS 1.3, all that OpenSSL says by itself is its refusal of one more handshake, each time.
                refusal = self._engine.output()
                if refusal:
                    self._said += refusal
                    raise CodecError("tls: no renegotiation")

    def _look(self, data: bytes) -> None:
        """Tells early, as Go does, what is no TLS: a client that forgot to begin learns it in plain words."""
        self._head += data[: _HEAD - len(self._head)]
        if len(self._head) < _HEAD:
            return
        self._looked = True
        if self._head[0] not in (_HANDSHAKE, _ALERT) or self._head[1] >= 0x10:
            raise NotTls(self._head)

    def _drain(self, first: bytes = b"") -> Iterator[bytes]:
        """``first``, and what else OpenSSL has whole; it gives a record at a time, and they are joined."""
        pending, read = self._engine.pending, self._engine.read
        parts, size = [first] if first else list[bytes](), len(first)
        try:
            while pending() and (part := read(RECORD)) is not None:
                parts.append(part)
                size += len(part)
                if size > PIECE - RECORD:
                    yield b"".join(parts)
                    parts.clear()
                    size = 0
        except (CodecError, EndOfStream) as e:
            self._broken = isinstance(e, CodecError)
            if parts:
                yield b"".join(parts)
            raise
        if parts:
            yield parts[0] if len(parts) == 1 else b"".join(parts)

    def encode(self, data: bytes) -> bytes:
        """The records of ``data``, behind what :meth:`reply` would have given.

        Behind an error that the peer was told of by an alert there are none: nobody would read them.
        """
        engine = self._engine
        if self._broken:
            return self.reply()
        if len(data) <= SLICE and not self._said:
            engine.write(data)
            return engine.output()
        view, out = memoryview(data), [self.reply()]
        for at in range(0, len(data), SLICE):
            engine.write(view[at : at + SLICE])
            out.append(engine.output())
        return b"".join(out)

    def reply(self) -> bytes:
        """Handshake records and alerts."""
        if not self._said:
            return self._engine.output()
        said, self._said = self._said, b""
        return said + self._engine.output()

    def end(self) -> bytes:
        """``close_notify``; nothing if there was no handshake."""
        if self.handshaken:
            self._engine.end()
        return self.reply()

    def agreed(self) -> Agreed:
        """What the handshake came to."""
        version, cipher = self._engine.version().removeprefix("TLSv"), self._engine.cipher()
        return Agreed(
            f"TLS{version if '.' in version else version + '.0'}",
            CIPHERS.get(cipher, cipher),
            self._engine.common_name(),
        )


class SslEngine:
    """The ``ssl`` module's."""

    def __init__(
        self, context: ssl.SSLContext, *, server_side: bool = True, server_name: str | None = None
    ) -> None:
        """``server_name`` is a client's: it is asked for, and has to be in the certificate where that is verified."""
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._peer = "client" if server_side else "server"
        self._ssl = context.wrap_bio(
            self._in, self._out, server_side=server_side, server_hostname=server_name
        )

    def feed(self, data: bytes | memoryview) -> None:
        """Bytes from the peer."""
        self._in.write(data)

    def handshake(self) -> bool:
        """Goes on with the handshake; whether it is done."""
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as e:
            raise CodecError(self._reason(e)) from None
        return True

    def pending(self) -> bool:
        """Whether it holds anything; asking spares an exception per read: 3 µs."""
        return bool(self._in.pending or self._ssl.pending())

    def read(self, size: int) -> bytes | None:
        """A record; None when there is no whole one."""
        try:
            data = self._ssl.read(size)
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLZeroReturnError:
            data = b""
        except ssl.SSLError as e:
            raise CodecError(self._reason(e)) from None
        if not data:
            raise EndOfStream
        return data

    def write(self, data: bytes | memoryview) -> None:
        """Encrypts; memory takes everything."""
        self._ssl.write(data)

    def output(self) -> bytes:
        """What has to go to the peer."""
        return self._out.read()

    def end(self) -> None:
        """``close_notify``. OpenSSL would wait for the peer's; nobody here does."""
        try:
            self._ssl.unwrap()
        except ssl.SSLError:
            return

    def version(self) -> str:
        """OpenSSL's name of the version."""
        return self._ssl.version() or ""

    def cipher(self) -> str:
        """OpenSSL's name of the cipher suite."""
        cipher = self._ssl.cipher()
        return cipher[0] if cipher else ""

    def common_name(self) -> str:
        """The last common name of the certificate that was verified, as Go takes it."""
        subject = (self._ssl.getpeercert() or {}).get("subject", ())
        names = [
            pair[1] for part in subject if isinstance(part, tuple) for pair in part if pair[0] == "commonName"
        ]
        return str(names[-1]) if names else ""

    def _reason(self, error: ssl.SSLError) -> str:
        verify = getattr(error, "verify_message", "")
        return fault(error.reason or str(error), verify if isinstance(verify, str) else "", self._peer)


def fault(reason: str, verify: str = "", peer: str = "client") -> str:
    """What OpenSSL calls ``reason`` (``NO_SHARED_CIPHER``) in words: Go's where they are known.

    ``verify`` is what was wrong with the certificate of ``peer``.
    """
    reason = reason.upper().replace(" ", "_")
    if reason in _GO_WORDS:
        return f"tls: {_GO_WORDS[reason]}"
    if reason == "CERTIFICATE_VERIFY_FAILED":
        return f"tls: failed to verify {peer} certificate: {verify or 'unknown reason'}"
    _, alert, name = reason.partition("_ALERT_")
    words = (name if alert else reason).lower().replace("_", " ")
    return f"remote error: tls: {words}" if alert else f"tls: {words}"
