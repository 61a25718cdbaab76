"""``host:port`` texts, and the unix socket paths that may stand in their place."""

from __future__ import annotations

import socket
from typing import NamedTuple


class HostPort(NamedTuple):
    """A TCP address; IPv6 hosts are kept without their brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_host_port(text: str) -> HostPort:
    """Reads ``host:port``, ``[v6]:port`` or ``:port``; raises ValueError that says what is missing."""
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError(f"address {text}: missing port in address")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"address {text}: too many colons in address")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"address {text}: invalid port (want a number from 0 to 65535)")
    return HostPort(host, int(port))


def is_unix_path(text: str) -> bool:
    """Whether an address option names a unix socket: whatever is not of the form ``host:port``.

    Go decides by the colons and brackets alone; a port that is none is a bad port, and no path.
    """
    host, colon, port = text.rpartition(":")
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        return not bracket or "[" in host or rest[:1] != ":" or any(c in "[]:" for c in rest[1:])
    return not colon or any(c in "[]:" for c in host + port)


def go_host_port(text: str) -> HostPort:
    """Reads ``host:port`` as Go does, who also takes a service's name for a port, and none behind the colon for 0.

    Raises ValueError in Go's words: ``address x: missing port in address``, ``address 99999: invalid port``.
    """
    if is_unix_path(text):
        missing = ":" not in text.rpartition("]")[2]
        raise ValueError(
            f"address {text}: {'missing port in address' if missing else 'too many colons in address'}"
        )
    host, _, port = text.rpartition(":")
    return HostPort(host.removeprefix("[").removesuffix("]"), _port(port))


def _port(text: str) -> int:
    """The number of a port, which may also be given by its service's name, such as ``http``."""
    if not text:
        return 0
    if text.removeprefix("-").isascii() and text.removeprefix("-").isdigit():
        if not 0 <= int(text[:9]) <= 65535 or len(text) > 9:
            raise ValueError(f"address {text}: invalid port")
        return int(text)
    try:
        return socket.getservbyname(text, "tcp")
    except (OSError, UnicodeError, ValueError):
        raise ValueError(f"address tcp/{text}: unknown port") from None


def format_peer(peer: object) -> str:
    """A socket's peer address as Go prints it: ``1.2.3.4:5``, ``[::1]:5``, or ``@`` for a unix socket.

    The form ``::ffff:1.2.3.4``, which IPv4 peers have on a socket that takes both kinds, is unwrapped.
    A unix socket that has a name is its name.
    """
    if isinstance(peer, tuple) and len(peer) >= 2:
        host = str(peer[0])
        mapped = host.removeprefix("::ffff:")
        return str(HostPort(mapped if "." in mapped else host, int(peer[1])))
    if isinstance(peer, bytes):  # a name without a file
        return "@" + peer[1:].decode("utf-8", "backslashreplace")
    return peer if isinstance(peer, str) and peer else "@"
