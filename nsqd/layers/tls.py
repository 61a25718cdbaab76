"""TLS by the options: certificates and policies read from files, at the start and again on demand (reference, 9).

``ssl`` takes longer to import than all that a nsqd without TLS needs for it, so this module and what it imports
are imported when an option asks for TLS.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import warnings
from collections.abc import Callable

from nsqcore.errors import StartError
from nsqcore.layers.tls_codec import CIPHERS, Engine, SslEngine, TlsCodec
from nsqcore.tls_files import TlsFileError, load_pair, read_pem, trust
from nsqd.options import Options, TlsRequired, TlsVersion

log = logging.getLogger(__name__)

REQUIRE, REQUIRE_VERIFY = "require", "require-verify"


class Tls:
    """What TLS a nsqd speaks: one context for its servers and one for what it asks of others.

    :meth:`reload` replaces both; connections that are open go on with what they began with.
    """

    def __init__(self, options: Options) -> None:
        """Reads the files, which blocks for as long as the disk does; raises StartError."""
        self._options = options
        self._reloading: asyncio.Task[None] | None = None
        self._again = False
        self._outgoing: ssl.SSLContext | None = None
        _settle_requirement(options)
        try:
            self._engine = _server(options) if options.tls_cert or options.tls_key else None
        except TlsFileError as e:
            raise StartError(f"failed to build TLS config - {e}") from None
        if self._engine is None and options.tls_required:
            raise StartError("cannot require TLS client connections without TLS key and cert")
        try:
            if options.tls_root_ca_file:
                self._outgoing = client_context(options)
        except TlsFileError as e:
            raise StartError(f"failed to build client TLS config - {e}") from None

    @property
    def serves(self) -> bool:
        """Whether there is a certificate: clients may use TLS."""
        return self._engine is not None

    def outgoing(self) -> ssl.SSLContext:
        """For what this nsqd asks of HTTPS servers. To be asked for each connection: it may be replaced."""
        if self._outgoing is None:  # the system's authorities: 20 ms to read, only for who asks
            self._outgoing = client_context(self._options)
        return self._outgoing

    def codec(self) -> TlsCodec:
        """A server's side of one connection, its handshake not begun; only where :attr:`serves`."""
        assert self._engine is not None
        return TlsCodec(self._engine())

    # -- again -------------------------------------------------------------------------------------

    def reload(self) -> None:
        """Reads the files again, in a thread; what is wrong with them is logged, and what was read before stays."""
        if self._reloading is not None and not self._reloading.done():
            self._again = True
        else:
            self._reloading = asyncio.ensure_future(self._reload())

    async def _reload(self) -> None:
        self._again = True
        while self._again:  # asked for meanwhile: the files may have changed behind our reading
            self._again = False
            try:
                engine, outgoing = await asyncio.to_thread(self._read)
            except TlsFileError as e:
                log.error("TLS: certificates not reloaded, going on with those read before - %s", e)
            else:
                self._engine, self._outgoing = engine, outgoing
                log.info("TLS: reloaded certificates")

    def _read(self) -> tuple[Callable[[], Engine] | None, ssl.SSLContext | None]:
        options = self._options
        return (
            _server(options) if self.serves else None,
            client_context(options) if options.tls_root_ca_file else None,
        )

    async def close(self) -> None:
        """Waits until nothing more is being read."""
        if self._reloading is not None:
            await self._reloading


def _settle_requirement(options: Options) -> None:
    """A policy for clients' certificates means that TLS is required, as the original settles it at the start."""
    policy = options.tls_client_auth_policy
    if policy and options.tls_required is TlsRequired.NO:
        options.tls_required = TlsRequired.YES
    if policy not in ("", REQUIRE, REQUIRE_VERIFY):
        log.warning(
            "unknown --tls-client-auth-policy %s: TLS is required, but clients are asked for no certificate",
            policy,
        )


# -- contexts --------------------------------------------------------------------------------------


def client_context(options: Options) -> ssl.SSLContext:
    """For HTTPS servers that this nsqd asks, verified by the root CA file or else by the system's authorities.

    Raises TlsFileError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _set_lowest(context, options.tls_min_version)
    _trust(context, options.tls_root_ca_file, ssl.Purpose.SERVER_AUTH)
    return context


def _server(options: Options) -> Callable[[], Engine]:
    """What makes the server's side of a connection; raises TlsFileError."""
    cert, key = options.tls_cert, options.tls_key
    lowest = options.tls_min_version
    ciphers = ":".join(name for name in CIPHERS if not name.startswith("TLS_"))
    if lowest < TlsVersion.TLS_1_2:
        # Their handshakes are signed with SHA-1, which OpenSSL's lowest level alone allows. The list of suites
        # keeps out the rest of what that level would let in.
        ciphers += ":@SECLEVEL=0"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _set_lowest(context, lowest)
    context.set_ciphers(ciphers)
    context.options |= ssl.OP_NO_RENEGOTIATION
    load_pair(context, cert, key)
    policy = options.tls_client_auth_policy
    if options.tls_root_ca_file or policy == REQUIRE_VERIFY:
        _trust(context, options.tls_root_ca_file, ssl.Purpose.CLIENT_AUTH)
    if policy == REQUIRE:
        from nsqd.layers import tls_any_cert

        any_cert = tls_any_cert.context(cert, key, lowest, ciphers)
        return lambda: tls_any_cert.AnyCertEngine(any_cert)
    if policy == REQUIRE_VERIFY:
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # what is in the file is trusted, root or not
    return lambda: SslEngine(context)


def _set_lowest(context: ssl.SSLContext, version: TlsVersion) -> None:
    with warnings.catch_warnings():
        # Of the old versions, which are the operator's choice.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion(version)


def _trust(context: ssl.SSLContext, path: str, purpose: ssl.Purpose) -> None:
    """Trusts the certificates of a file, those that can be read, and at least one; without a file the system's."""
    if not path:
        context.load_default_certs(purpose)
    elif not trust(context, read_pem(path)):
        raise TlsFileError("failed to append certificate to pool")
