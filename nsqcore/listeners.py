"""Listening sockets, TCP and unix, and the originals' words for what keeps one from being had."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from nsqcore.addresses import format_peer, go_host_port, is_unix_path
from nsqcore.errors import StartError
from nsqcore.golang import go_reason

BACKLOG = 1024
"""Connections that may wait to be accepted: a whole cluster reconnects at once after a restart."""

KEEP_ALIVE_S = 15
"""Silence after which the system asks whether a peer is there, and between two such questions."""


class UnixListener(socket.socket):
    """A listening unix socket; closing it removes its file, unless that belongs to another by now."""

    path = ""
    _file: tuple[int, int] | None = None

    def close(self) -> None:
        """Twice is fine."""
        if self._file is not None:
            with suppress(OSError):
                if self._file == _identity(self.path):
                    Path(self.path).unlink()
            self._file = None
        super().close()

    def own_file(self, path: str) -> None:
        """Notes the file that was made by binding."""
        self.path = path
        if path and not path.startswith("@"):
            self._file = _identity(path)


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def bind(address: str) -> socket.socket:
    """A socket that listens at ``host:port``, or at the path of a unix socket, which is anything else.

    As :func:`bind_tcp` and :func:`bind_unix`.
    """
    return bind_unix(address) if is_unix_path(address) else bind_tcp(address)


def bind_tcp(address: str) -> socket.socket:
    """A socket that listens at ``host:port``; port 0, or none behind the colon, picks a free one.

    No host, ``0.0.0.0`` and ``[::]`` all mean every address of the machine, IPv6 ones included: so Go
    takes them. Clients can connect from now on, and wait until the caller accepts. A host name is looked
    up, which blocks; of its addresses an IPv4 one is preferred. Raises StartError that says why not.
    """
    try:
        host, port = go_host_port(address)
        if host in ("", "0.0.0.0", "::") and socket.has_dualstack_ipv6():
            return _keep_alive(
                socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
            )
        found = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)
        family, _, _, _, where = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        return _keep_alive(socket.create_server((str(where[0]), port), family=family, backlog=BACKLOG))
    except (socket.gaierror, UnicodeError):  # the latter for what can't be a host name at all
        raise StartError(f"listen ({address}) failed - listen tcp: lookup {host}: no such host") from None
    except OSError as e:
        raise StartError(f"listen ({address}) failed - listen tcp {address}: bind: {go_reason(e)}") from None
    except ValueError as e:
        raise StartError(f"listen ({address}) failed - listen tcp: {e}") from None


def _keep_alive(listener: socket.socket) -> socket.socket:
    """Has the system ask silent peers whether they are there, as Go does; accepted connections inherit it.

    A machine that lost its power says no goodbye, and its connections would stay for ever.
    """
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name in ("TCP_KEEPIDLE", "TCP_KEEPALIVE", "TCP_KEEPINTVL"):  # the middle one is macOS's first
        if hasattr(socket, name):
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), KEEP_ALIVE_S)
    return listener


def bind_unix(path: str) -> socket.socket:
    """A socket that listens at ``path``; one that begins with ``@`` is a name without a file.

    The file of a socket that nobody listens at any more is taken over: it is what a process leaves that
    was killed. A live socket and any other file are left alone. Raises StartError that says why not.
    """
    listener = UnixListener(socket.AF_UNIX, socket.SOCK_STREAM)
    name = "\0" + path[1:] if path.startswith("@") else path
    try:
        if "\0" in path:  # the system would take what is before it
            raise OSError(errno.EINVAL, "")
        try:
            listener.bind(name)
        except OSError:
            if not _remove_stale(path):
                raise
            listener.bind(name)
        listener.own_file(path)
        listener.listen(BACKLOG)
    except OSError as e:
        listener.close()
        # Without an errno it is Python's own refusal of a path that is too long.
        why = go_reason(e) if e.errno else "invalid argument"
        raise StartError(f"listen ({path}) failed - listen unix {path}: bind: {why}") from None
    return listener


def _remove_stale(path: str) -> bool:
    """Removes the file of a dead socket; False when it is anything else.

    It is set aside first and looked at again: of two processes that find it dead at the same time, the
    second must not remove the new socket of the first.
    """
    if not _is_stale(path):
        return False
    aside = f"{path}.{os.getpid()}"
    try:
        Path(path).rename(aside)
        if not _is_stale(aside):
            os.link(aside, path)
    finally:
        with suppress(OSError):
            Path(aside).unlink()
    return True


def _is_stale(path: str) -> bool:
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return False
    except (OSError, ValueError):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.setblocking(False)  # a live one whose backlog is full must not hold us up
        try:
            caller.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


async def serve(factory: Callable[[], asyncio.BaseProtocol], listener: socket.socket) -> asyncio.Server:
    """Accepts connections at a socket that listens already."""
    loop = asyncio.get_running_loop()
    if listener.family == socket.AF_UNIX:
        return await loop.create_unix_server(factory, sock=listener, backlog=BACKLOG)
    return await loop.create_server(factory, sock=listener, backlog=BACKLOG)


def address_of(listener: socket.socket) -> str:
    """The real ``host:port`` of a listening socket as Go prints it, or its path."""
    return format_peer(listener.getsockname())


def port_of(listener: socket.socket) -> int:
    """The real port; -1 of a unix socket."""
    return int(listener.getsockname()[1]) if listener.family != socket.AF_UNIX else -1
