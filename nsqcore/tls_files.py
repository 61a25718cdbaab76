"""Certificates, keys and authorities in PEM files, and Go's words for what is wrong with them.

``ssl`` takes long to import: import this module when an option asks for TLS.
"""

from __future__ import annotations

import os
import re
import ssl

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----")


class TlsFileError(Exception):
    """A certificate, key or CA file is not what it has to be; the text says which and what, in Go's words."""


def read_pem(path: str) -> str:
    """The text of a file, which blocks for as long as the disk does; raises TlsFileError."""
    try:
        with open(path, encoding="latin-1") as file:
            return file.read()
    except OSError as e:
        what = "read" if isinstance(e, IsADirectoryError) else "open"
        raise TlsFileError(f"{what} {path}: {os.strerror(e.errno or 0).lower()}") from None


def load_pair(context: ssl.SSLContext, cert: str, key: str) -> None:
    """Gives ``context`` the certificate and the key of two files; raises TlsFileError."""
    _check_pair(read_pem(cert), read_pem(key))
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except ssl.SSLError as e:
        raise TlsFileError(_pair_fault(e)) from None
    except OSError as e:
        raise TlsFileError(f"open {cert}: {os.strerror(e.errno or 0).lower()}") from None


def trust(context: ssl.SSLContext, pem: str) -> int:
    """Trusts the certificates in a text, those that can be read; returns how many they are."""
    found = 0
    for block in _CERTIFICATE.findall(pem):
        try:
            context.load_verify_locations(cadata=block)
        except (ssl.SSLError, ValueError):
            continue
        found += 1
    return found


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
