"""How a transport to a nsqd is made: over TCP or a unix socket, unless a target knows another way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from nsqcore.addresses import parse_host_port

UNIX_PREFIX = "unix:"


class DialOptions(Protocol):
    """What of the connection options matters for dialing."""

    @property
    def local_addr(self) -> str | None:
        """The address that TCP connections come from: ``host`` or ``host:port``; None leaves it to the system."""


Dial = Callable[[str, Callable[[], asyncio.Protocol], DialOptions], Awaitable[None]]
"""Connects what the factory makes to the nsqd of that address, raises OSError; the caller limits the time."""


class Dialer:
    """What can make transports; a base of all targets."""

    async def dial(self, node: str, factory: Callable[[], asyncio.Protocol], options: DialOptions) -> None:
        """Connects the protocol that ``factory`` makes to ``node``: its ``connection_made`` has been called.

        Raises OSError. Override it to connect in another way; any asyncio transport will do that can
        ``set_protocol`` and ``write_eof``.
        """
        await dial_directly(node, factory, options)


async def dial_directly(node: str, factory: Callable[[], asyncio.Protocol], options: DialOptions) -> None:
    """Over TCP or a unix socket; raises OSError."""
    loop = asyncio.get_running_loop()
    if node.startswith(UNIX_PREFIX):
        await loop.create_unix_connection(factory, node.removeprefix(UNIX_PREFIX))
        return
    host, port = parse_host_port(node)
    local = None if options.local_addr is None else parse_local_addr(options.local_addr)
    await loop.create_connection(factory, host or "localhost", port, local_addr=local)


def parse_local_addr(text: str) -> tuple[str, int]:
    """Reads ``host``, ``host:port`` or ``[v6]:port``, the port 0 where none is given; raises ValueError."""
    if text.count(":") > 1 and not text.startswith("["):  # a bare IPv6 address
        return text, 0
    host, port = parse_host_port(text if ":" in text.rpartition("]")[2] else f"{text}:0")
    if not host:
        raise ValueError(f"address {text}: missing host in address")
    return host, port
