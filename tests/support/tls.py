"""Certificates made on the spot, and TLS for raw clients.

::

    authority = Authority(tmp_path)
    async with Node(tmp_path, *authority.flags) as node:
        client = await node.connect()
        await client.identify(tls_v1=True)
        await authority.client().shake(client)
        await client.expect_ok()
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path

import trustme

from tests.support.nsqd import Node
from tests.support.raw import RawClient, RawSocket

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


class Authority:
    """A certificate authority whose files lie in a folder: ``ca.pem``, ``server.pem`` and ``server.key``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ca = trustme.CA()
        self._ca.cert_pem.write_to_path(folder / "ca.pem")
        self.renew()

    def renew(self) -> None:
        """Writes another certificate and key for the server."""
        self.server = self._ca.issue_cert("127.0.0.1", "localhost", common_name="server")
        chain = b"".join(pem.bytes() for pem in self.server.cert_chain_pems)
        (self.folder / "server.pem").write_bytes(chain)
        self.server.private_key_pem.write_to_path(self.folder / "server.key")

    @property
    def flags(self) -> list[str]:
        """For a server with this certificate; HTTPS gets a free port, as its own may be another test's."""
        files = [f"--tls-cert={self.folder / 'server.pem'}", f"--tls-key={self.folder / 'server.key'}"]
        return [*files, "--https-address=127.0.0.1:0"]

    @property
    def ca_flag(self) -> str:
        """For a server that trusts this authority."""
        return f"--tls-root-ca-file={self.folder / 'ca.pem'}"

    def context(
        self,
        *,
        certificate: trustme.LeafCert | None = None,
        lowest: ssl.TLSVersion | None = None,
        highest: ssl.TLSVersion | None = None,
    ) -> ssl.SSLContext:
        """A client's, which verifies the server."""
        context = ssl.create_default_context()
        self._ca.configure_trust(context)
        if certificate is not None:
            certificate.configure_cert(context)
        if lowest is not None:
            context.minimum_version = lowest
        if highest is not None:
            context.maximum_version = highest
        return context

    def certificate(self, common_name: str = "") -> trustme.LeafCert:
        """For a client."""
        return self._ca.issue_cert("client.example", common_name=common_name or None)

    def client(
        self, certificate: trustme.LeafCert | None = None, version: ssl.TLSVersion | None = None
    ) -> TlsClient:
        """One side of a connection; ``version`` is the only one that it speaks."""
        return TlsClient(self.context(certificate=certificate, lowest=version, highest=version))


class TlsClient:
    """TLS for one :class:`RawSocket`: a client's side between two buffers."""

    def __init__(self, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> None:
        """``session`` is to be resumed."""
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = context.wrap_bio(self._in, self._out, server_hostname="127.0.0.1", session=session)
        self.ended = False
        """The server said close_notify."""
        self.alert = ""
        """Why the server ended it, in OpenSSL's words."""

    async def shake(self, client: RawSocket) -> None:
        """The whole handshake; from then on the client's bytes go through it. Raises SSLError, EOFError."""
        while True:
            try:
                self.ssl.do_handshake()
                break
            except ssl.SSLWantReadError:
                client.send(self._out.read())
                await client.until(lambda: bool(client.buffer))
                self._in.write(bytes(client.buffer))
                client.buffer.clear()
        client.send(self._out.read())
        early = bytes(client.buffer)
        client.buffer.clear()
        client.go_through(self.encode, self.decode)
        client.buffer += self.decode(early)

    def encode(self, data: bytes) -> bytes:
        """Records."""
        self.ssl.write(data)
        return self._out.read()

    def end(self) -> bytes:
        """close_notify."""
        with suppress(ssl.SSLWantReadError):
            self.ssl.unwrap()
        return self._out.read()

    def decode(self, data: bytes) -> bytes:
        """What records mean; nothing behind an alert, which may come when our side of the handshake is done."""
        if self.alert:
            return b""
        self._in.write(data)
        parts = []
        try:
            while part := self.ssl.read(65536):
                parts.append(part)
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as e:
            self.alert = e.reason or str(e)
        return b"".join(parts)


async def upgraded(node: Node, tls: TlsClient, **settings: object) -> RawClient:
    """A client behind its handshake, and the OK that comes through it."""
    client = await node.connect()
    answer = await client.identify(tls_v1=True, **settings)
    assert answer["tls_v1"] is True
    await tls.shake(client)
    await client.expect_ok()
    return client
