"""Listening TCP sockets, and the originals' words for what keeps one from being had."""

from __future__ import annotations

import os
import socket

from nsqcore.addresses import format_peer, parse_host_port
from nsqcore.errors import StartError

BACKLOG = 1024
"""Connections that may wait to be accepted: a whole cluster reconnects at once after a restart."""


def bind_tcp(address: str) -> socket.socket:
    """A socket that listens at ``host:port``; port 0 picks a free one.

    No host, ``0.0.0.0`` and ``[::]`` all mean every address of the machine, IPv6 ones included: so Go
    takes them. Clients can connect from now on, and wait until the caller accepts. A host name is looked
    up, which blocks; of its addresses an IPv4 one is preferred. Raises StartError that says why not.
    """
    try:
        host, port = parse_host_port(address)
        if host in ("", "0.0.0.0", "::") and socket.has_dualstack_ipv6():
            return socket.create_server(
                ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
            )
        found = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)
        family, _, _, _, where = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        return socket.create_server((str(where[0]), port), family=family, backlog=BACKLOG)
    except (socket.gaierror, UnicodeError):  # the latter for what can't be a host name at all
        raise StartError(f"listen ({address}) failed - listen tcp: lookup {host}: no such host") from None
    except OSError as e:
        why = os.strerror(e.errno).lower() if e.errno else str(e)
        raise StartError(f"listen ({address}) failed - listen tcp {address}: bind: {why}") from None
    except ValueError as e:
        raise StartError(f"listen ({address}) failed - listen tcp: {e}") from None


def address_of(listener: socket.socket) -> str:
    """The real ``host:port`` of a listening socket, as Go prints it."""
    return format_peer(listener.getsockname())
