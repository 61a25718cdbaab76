"""TLS as a client speaks it: what is trusted, what is shown, and what must not happen."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nsqclient.errors import ConfigError

if TYPE_CHECKING:
    import ssl  # imported late: only who speaks TLS needs it

log = logging.getLogger(__name__)

File = str | os.PathLike[str]
Stamp = tuple[tuple[int, int, int], ...]
"""Of each file what changes when its content does."""


@dataclass(slots=True)
class _Built:
    context: ssl.SSLContext | None = None
    stamp: Stamp = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Tls:
    """How connections are encrypted. TLS 1.2 is the least, and certificates are verified.

    Files are read when the first connection is made, in a thread, and again when they have changed: a
    certificate that is renewed is used from the next connection on.
    """

    mode: Literal["require", "prefer"] = "require"
    """``require``: no connection without TLS. ``prefer``: goes on in the clear with a nsqd that has no
    TLS, unless a secret would have to be sent."""
    ca: File | None = None
    """A PEM file with the authorities to trust, in place of the system's; a certificate in it is trusted as such."""
    cert: tuple[File, File] | None = None
    """PEM files with this client's certificate and its key, which must not be encrypted."""
    server_name: str | None = None
    """The name or IP address that the server's certificate must have; None is the host that is dialed
    (``localhost`` for a unix socket)."""
    verify: bool = True
    """Whether the server's certificate and its name are verified. Without it anybody may be the server."""
    min_version: Literal["1.2", "1.3"] = "1.2"
    """The least version of TLS that will do."""
    _built: _Built = field(default_factory=_Built, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.mode not in ("require", "prefer"):
            raise ConfigError(f"the mode of Tls is {self.mode!r}, want 'require' or 'prefer'")
        if self.min_version not in ("1.2", "1.3"):
            raise ConfigError(f"the min_version of Tls is {self.min_version!r}, want '1.2' or '1.3'")
        if self.cert is not None and not _is_pair(self.cert):
            raise ConfigError(
                "the cert of Tls is a pair: the file of the certificate and the file of its key"
            )
        if self.server_name is not None and (not self.server_name or "\0" in self.server_name):
            raise ConfigError(f"the server_name of Tls is {self.server_name!r}, want a name or an IP address")

    async def context(self) -> ssl.SSLContext:
        """What a connection needs; raises ConfigError for files that are not what they have to be.

        Files that have changed and can't be used any more are logged, and those read before stay in use.
        """
        return await asyncio.to_thread(self._current)

    def name_for(self, host: str) -> str:
        """The name that the certificate of a server must have which was dialed as ``host``."""
        return self.server_name or host.partition("%")[0] or "localhost"

    def _current(self) -> ssl.SSLContext:
        built = self._built
        try:
            stamp = tuple(_stamp(path) for path in self._files())
            if built.context is None or stamp != built.stamp:
                built.context = self._build()
                built.stamp = stamp
        except ConfigError as e:
            if built.context is None:
                raise
            log.warning("TLS: certificates not read again, going on with those read before - %s", e)
        return built.context

    def _files(self) -> list[File]:
        return [path for path in (self.ca, *(self.cert or ())) if path is not None]

    def _build(self) -> ssl.SSLContext:
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = (
            ssl.TLSVersion.TLSv1_3 if self.min_version == "1.3" else ssl.TLSVersion.TLSv1_2
        )
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.ca is None:
            context.load_default_certs()
        else:
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            try:
                context.load_verify_locations(self.ca)
            except (OSError, ValueError) as e:  # an SSLError is an OSError
                raise _unusable(self.ca, e) from None
        if self.cert is not None:
            try:
                context.load_cert_chain(*self.cert, password=_no_password)
            except (OSError, ValueError) as e:
                raise _unusable(f"{os.fspath(self.cert[0])}, {os.fspath(self.cert[1])}", e) from None
        return context


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2


def _stamp(path: File) -> tuple[int, int, int]:
    try:
        found = Path(path).stat()
    except (OSError, ValueError) as e:
        raise _unusable(path, e) from None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _unusable(path: File, error: Exception) -> ConfigError:
    reason = getattr(error, "reason", None)
    words = reason.lower().replace("_", " ") if isinstance(reason, str) else getattr(error, "strerror", None)
    return ConfigError(f"TLS file {os.fspath(path)}: {words or error}")


def _no_password() -> str:
    """Instead of a question on the terminal."""
    return ""
