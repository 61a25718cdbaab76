"""TLS by the options: certificates and policies read from files, at the start and again on demand (reference, 9).

``ssl`` takes longer to import than all that a nsqd without TLS needs for it, so this module and what it imports
are imported when an option asks for TLS.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import ssl
import warnings
from collections.abc import Callable

from nsqcore.errors import StartError
from nsqcore.layers.tls_codec import CIPHERS, Engine, SslEngine, TlsCodec
from nsqd.options import Options, TlsRequired, TlsVersion

log = logging.getLogger(__name__)

REQUIRE, REQUIRE_VERIFY = "require", "require-verify"
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----")


class TlsFileError(Exception):
    """A certificate, key or CA file is not what it has to be; the text says which and what, in Go's words."""


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
    _check_pair(_read(cert), _read(key))
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
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except ssl.SSLError as e:
        raise TlsFileError(_pair_fault(e)) from None
    except OSError as e:
        raise TlsFileError(f"open {cert}: {os.strerror(e.errno or 0).lower()}") from None
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
        return
    found = 0
    for block in _CERTIFICATE.findall(_read(path)):
        try:
            context.load_verify_locations(cadata=block)
        except (ssl.SSLError, ValueError):
            continue
        found += 1
    if not found:
        raise TlsFileError("failed to append certificate to pool")


def _read(path: str) -> str:
    try:
        with open(path, encoding="latin-1") as file:
            return file.read()
    except OSError as e:
        what = "read" if isinstance(e, IsADirectoryError) else "open"
        raise TlsFileError(f"{what} {path}: {os.strerror(e.errno or 0).lower()}") from None


def _check_pair(cert: str, key: str) -> None:
    """Tells what OpenSSL has one word for: nothing in a file, the wrong thing, the two exchanged."""
    in_cert, in_key = _BLOCK.findall(cert), _BLOCK.findall(key)
    if not in_cert:
        raise TlsFileError("tls: failed to find any PEM data in certificate input")
    if "CERTIFICATE" not in in_cert:
        if any(kind.endswith("PRIVATE KEY") for kind in in_cert) and "CERTIFICATE" in in_key:
            raise TlsFileError(
                "tls: failed to find certificate PEM data in certificate input, but did find a private key; "
                "PEM inputs may have been switched"
            )
        raise TlsFileError("tls: failed to find certificate PEM data in certificate input")
    if not in_key:
        raise TlsFileError("tls: failed to find any PEM data in key input")
    if not any(kind.endswith("PRIVATE KEY") for kind in in_key):
        if "CERTIFICATE" in in_key:
            raise TlsFileError("tls: found a certificate rather than a key in the PEM for the private key")
        raise TlsFileError("tls: failed to find a private key in key input")
    if "ENCRYPTED" in key:
        raise TlsFileError("tls: failed to parse private key: it is encrypted, and there is nobody to ask")


def _pair_fault(error: ssl.SSLError) -> str:
    if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
        return "tls: private key does not match public key"
    words = (error.reason or str(error)).lower().replace("_", " ")
    return f"tls: failed to load certificate and key: {words}"


def _no_password() -> str:
    """Instead of a question on the terminal."""
    return ""
