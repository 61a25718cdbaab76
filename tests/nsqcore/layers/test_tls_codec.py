"""TLS as a codec, joined with clients without a network: both libraries."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from nsqcore.layers.codec import PIECE, CodecError, EndOfStream
from nsqcore.layers.tls_codec import CIPHERS, Engine, NotTls, SslEngine, TlsCodec, fault
from nsqd.layers.tls_any_cert import AnyCertEngine
from nsqd.layers.tls_any_cert import context as any_cert_context
from nsqd.options import TlsVersion
from tests.support.tls import V12, V13, Authority

Make = Callable[[], TlsCodec]


@pytest.fixture(scope="module", params=["ssl", "pyOpenSSL"])
def make(request: pytest.FixtureRequest, authority: Authority) -> Make:
    engine: Callable[[], Engine]
    if request.param == "ssl":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.options |= ssl.OP_NO_RENEGOTIATION
        authority.server.configure_cert(context)
        engine = lambda: SslEngine(context)  # noqa: E731
    else:
        cert, key = (str(authority.folder / name) for name in ("server.pem", "server.key"))
        ciphers = ":".join(name for name in CIPHERS if "_" not in name)
        any_cert = any_cert_context(cert, key, TlsVersion.TLS_1_2, ciphers)
        engine = lambda: AnyCertEngine(any_cert)  # noqa: E731
    return lambda: TlsCodec(engine())


class Peer:
    """A client and the codec, joined."""

    def __init__(self, codec: TlsCodec, authority: Authority, version: ssl.TLSVersion) -> None:
        self.codec = codec
        self._in, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = authority.context(certificate=authority.certificate("joe"), highest=version)
        self.ssl = context.wrap_bio(self._in, self.out, server_hostname="127.0.0.1")

    def shake(self, step: int = 1 << 20) -> None:
        """The handshake, the client's bytes in pieces of ``step``."""
        while not self.codec.handshaken:
            try:
                self.ssl.do_handshake()
            except ssl.SSLWantReadError:
                pass
            while data := self.out.read(step):
                assert list(self.codec.decode(data)) == []
            self._in.write(self.codec.reply())

    def says(self, data: bytes) -> bytes:
        """The client's records of ``data``."""
        self.ssl.write(data)
        return self.out.read()

    def hears(self, records: bytes, size: int) -> bytes:
        """What the client makes of ``records``, so many bytes."""
        self._in.write(records)
        got = b""
        while len(got) < size:
            got += self.ssl.read(size)
        return got


def feed(codec: TlsCodec, data: bytes, step: int) -> None:
    """Nothing can be made of ``data``."""
    for at in range(0, len(data), step):
        assert list(codec.decode(data[at : at + step])) == []


@pytest.fixture(params=[V12, V13])
def peer(request: pytest.FixtureRequest, make: Make, authority: Authority) -> Peer:
    return Peer(make(), authority, request.param)


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_a_handshake_may_come_in_pieces(peer: Peer, step: int) -> None:
    peer.shake(step)
    agreed = peer.codec.agreed()
    assert agreed.version in ("TLS1.2", "TLS1.3")
    assert agreed.cipher_suite in CIPHERS.values()


@pytest.mark.parametrize("step", [1, 1000, 1 << 20])
def test_records_may_come_in_pieces_and_together(peer: Peer, step: int) -> None:
    peer.shake()
    records = peer.says(b"hello ") + peer.says(b"world" * 5000) + peer.says(b"!")
    got = b"".join(
        piece for at in range(0, len(records), step) for piece in peer.codec.decode(records[at : at + step])
    )
    assert got == b"hello " + b"world" * 5000 + b"!"


def test_pieces_are_bounded_and_few(peer: Peer) -> None:
    peer.shake()
    pieces = list(peer.codec.decode(peer.says(bytes(1 << 20))))
    assert sum(map(len, pieces)) == 1 << 20
    assert max(map(len, pieces)) <= PIECE
    assert len(pieces) <= 2 * (1 << 20) // PIECE + 1


@pytest.mark.parametrize("size", [1, 16_384, 16_385, 300_000])
def test_what_is_encoded_can_be_read_at_once(peer: Peer, size: int) -> None:
    peer.shake()
    data = bytes(n % 251 for n in range(size))
    assert peer.hears(peer.codec.encode(data), size) == data


def test_what_it_has_to_say_itself_comes_before_what_is_encoded(make: Make, authority: Authority) -> None:
    peer = Peer(make(), authority, V12)
    while not peer.codec.handshaken:
        try:
            peer.ssl.do_handshake()
        except ssl.SSLWantReadError:
            pass
        assert list(peer.codec.decode(peer.out.read())) == []
        if not peer.codec.handshaken:
            peer._in.write(peer.codec.reply())
    records = peer.codec.encode(b"first words")
    peer._in.write(records)
    peer.ssl.do_handshake()
    assert peer.ssl.read(100) == b"first words"


def test_close_notify_ends_the_stream_behind_what_was_said(peer: Peer) -> None:
    peer.shake()
    data = peer.says(b"bye")
    with pytest.raises(ssl.SSLWantReadError):
        peer.ssl.unwrap()
    got: list[bytes] = []
    with pytest.raises(EndOfStream):
        got.extend(peer.codec.decode(data + peer.out.read()))
    assert peer.codec.reply() == b""
    peer._in.write(peer.codec.end())
    peer.ssl.unwrap()


def test_the_end_can_be_said_first(peer: Peer) -> None:
    peer.shake()
    peer._in.write(peer.codec.encode(b"bye") + peer.codec.end())
    assert peer.ssl.read(10) == b"bye"
    peer.ssl.unwrap()


def test_without_a_handshake_the_end_is_silent(make: Make) -> None:
    assert make().end() == b""


def test_a_broken_record_is_an_error_and_an_alert(peer: Peer) -> None:
    peer.shake()
    records = bytearray(peer.says(b"hello"))
    records[-1] ^= 1
    with pytest.raises(CodecError, match="tls: "):
        list(peer.codec.decode(bytes(records)))
    assert peer.codec.reply() != b""


def test_behind_a_broken_record_nothing_is_encoded_any_more(peer: Peer) -> None:
    peer.shake()
    records = bytearray(peer.says(b"hello"))
    records[-1] ^= 1
    with pytest.raises(CodecError):
        list(peer.codec.decode(bytes(records)))
    assert peer.codec.encode(b"x" * 100) != b"", "the alert"
    assert peer.codec.encode(b"x" * 200_000) == b""
    assert peer.codec.end() == b""


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"NOP\nNOP\n", b"\0" * 5, b"\x16\x10\x00\x00\x01"])
def test_what_is_no_tls_is_told_without_an_alert(make: Make, data: bytes) -> None:
    codec = make()
    with pytest.raises(NotTls, match="first record does not look like a TLS handshake") as caught:
        feed(codec, data, 1)
    assert caught.value.head == data[:5]
    assert codec.reply() == b""


@settings(max_examples=60)
@given(data=st.binary(min_size=1, max_size=600), step=st.sampled_from([1, 5, 600]))
def test_any_bytes_are_a_stream_or_the_promised_error(make: Make, data: bytes, step: int) -> None:
    codec = make()
    data = b"\x16\x03\x01" + data
    with suppress(CodecError):
        feed(codec, data, step)
    codec.reply()


@settings(max_examples=60)
@given(at=st.integers(0, 1 << 30), flip=st.integers(1, 255))
def test_any_damage_to_records_is_the_promised_error(
    make: Make, authority: Authority, at: int, flip: int
) -> None:
    peer = Peer(make(), authority, V13)
    peer.shake()
    records = bytearray(peer.says(b"hello" * 10))
    records[at % len(records)] ^= flip
    with suppress(CodecError):
        feed(peer.codec, bytes(records), 1 << 20)


def test_one_more_handshake_is_refused(make: Make, authority: Authority) -> None:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    context.set_verify(SSL.VERIFY_NONE)
    context.use_certificate_chain_file(str(authority.folder / "server.pem"))
    context.use_privatekey_file(str(authority.folder / "server.key"))
    client = SSL.Connection(context, None)
    client.set_connect_state()
    codec = make()

    def turn() -> None:
        try:
            client.do_handshake()
        except SSL.WantReadError:
            assert list(codec.decode(client.bio_read(1 << 16))) == []
            client.bio_write(codec.reply())

    for _ in range(3):
        turn()
    assert codec.handshaken
    client.renegotiate()
    with pytest.raises(CodecError, match="no renegotiation"):
        turn()
    assert codec.reply()[:1] == b"\x15"


@pytest.mark.parametrize(
    ("reason", "verify", "text"),
    [
        ("NO_SHARED_CIPHER", "", "tls: no cipher suite supported by both client and server"),
        ("no shared cipher", "", "tls: no cipher suite supported by both client and server"),
        ("CERTIFICATE_VERIFY_FAILED", "expired", "tls: failed to verify client certificate: expired"),
        ("TLSV1_ALERT_UNKNOWN_CA", "", "remote error: tls: unknown ca"),
        ("tlsv1 alert unknown ca", "", "remote error: tls: unknown ca"),
        ("WRONG_VERSION_NUMBER", "", "tls: wrong version number"),
    ],
)
def test_faults_are_worded_alike_whichever_library_tells_them(reason: str, verify: str, text: str) -> None:
    assert fault(reason, verify) == text
