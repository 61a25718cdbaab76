"""TLS that asks for a client certificate and takes any: the policy ``require``.

The ``ssl`` module verifies whatever certificate it asks for, so this policy alone goes through pyOpenSSL, which
lets the verdict be overruled. Some 60 ms to import and slower per record: imported only when the policy is set.
"""

from __future__ import annotations

from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto

from nsqcore.layers.codec import CodecError, EndOfStream
from nsqcore.layers.tls_codec import RECORD, fault
from nsqd.options import TlsVersion

_VERSIONS = {
    TlsVersion.TLS_1_0: SSL.TLS1_VERSION,
    TlsVersion.TLS_1_1: SSL.TLS1_1_VERSION,
    TlsVersion.TLS_1_2: SSL.TLS1_2_VERSION,
    TlsVersion.TLS_1_3: SSL.TLS1_3_VERSION,
}
_TAKE = 4 * RECORD
"""Bytes asked of OpenSSL at a time."""


def context(cert: str, key: str, lowest: TlsVersion, ciphers: str) -> SSL.Context:
    """A server's, from two PEM files that are known to be good; ``ciphers`` as OpenSSL writes a list."""
    made = SSL.Context(SSL.TLS_SERVER_METHOD)
    made.set_min_proto_version(_VERSIONS[lowest])
    made.set_cipher_list(ciphers.encode())
    made.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    made.set_mode(SSL.MODE_RELEASE_BUFFERS)
    made.set_session_id(b"nsqd")  # without it a client that resumes is refused
    made.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _any)
    made.use_certificate_chain_file(cert)
    made.use_privatekey_file(key)
    return made


def _any(connection: SSL.Connection, cert: crypto.X509, error: int, depth: int, ok: int) -> bool:
    return True


class AnyCertEngine:
    """pyOpenSSL's connection between two buffers: an :class:`~nsqcore.layers.tls_codec.Engine`."""

    def __init__(self, context: SSL.Context) -> None:
        self._connection = SSL.Connection(context, None)
        self._connection.set_accept_state()

    def feed(self, data: bytes | memoryview) -> None:
        """Bytes from the peer."""
        self._connection.bio_write(bytes(data))

    def handshake(self) -> bool:
        """Goes on with the handshake; whether it is done."""
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.Error as e:
            raise CodecError(_reason(e)) from None
        return True

    def pending(self) -> bool:
        """Unknown here: a read tells."""
        return True

    def read(self, size: int) -> bytes | None:
        """A record; None when there is no whole one."""
        try:
            return self._connection.recv(size)
        except SSL.WantReadError:
            return None
        except SSL.ZeroReturnError:
            raise EndOfStream from None
        except SSL.Error as e:
            raise CodecError(_reason(e)) from None

    def write(self, data: bytes | memoryview) -> None:
        """Encrypts; memory takes everything."""
        self._connection.sendall(data)

    def output(self) -> bytes:
        """What has to go to the peer."""
        parts = []
        try:
            while True:
                parts.append(self._connection.bio_read(_TAKE))
                if len(parts[-1]) < _TAKE:
                    break
        except SSL.WantReadError:
            pass
        return b"".join(parts)

    def end(self) -> None:
        """``close_notify``."""
        try:
            self._connection.shutdown()
        except SSL.Error:
            return

    def version(self) -> str:
        """OpenSSL's name of the version."""
        return str(self._connection.get_protocol_version_name())

    def cipher(self) -> str:
        """OpenSSL's name of the cipher suite."""
        return self._connection.get_cipher_name() or ""

    def common_name(self) -> str:
        """The last common name of the certificate, which nobody has verified, as Go takes it."""
        cert = self._connection.get_peer_certificate()
        if cert is None:
            return ""
        try:
            names = cert.to_cryptography().subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        except ValueError:  # a certificate that nobody checked may hold anything
            return ""
        return str(names[-1].value) if names else ""


def _reason(error: SSL.Error) -> str:
    """pyOpenSSL keeps OpenSSL's queue: tuples of library, function and reason, the reason in words."""
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return fault(str(queue[-1][2])) if queue else f"tls: {error}"
