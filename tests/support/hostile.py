"""Blocking sockets that go as far into a conversation with nsqd as a bad peer wants to, and what they cost nsqd.

::

    with nsqd(folder, *authority.flags) as d:
        before = memory(d)
        with closing(join(d.tcp, "tls deflate", authority)) as peer:
            peer.sendall(b"half a w")
        assert memory(d).peak < before.now + 10 * MB
"""

from __future__ import annotations

import os
import resource
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from nsqcore.addresses import parse_host_port
from nsqcore.wire.commands import encode_identify
from nsqcore.wire.frames import MAGIC_V2
from tests.support.codecs import pair
from tests.support.processes import DaemonProcess
from tests.support.tls import Authority

MB = 1 << 20
LAYERS = ["", "deflate", "snappy", "tls", "tls deflate", "tls snappy"]
PATIENCE_S = 20.0


class Peer:
    """One connection; ``sendall`` goes through its layers, nothing is read but what it takes to get there."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.encode: Callable[[bytes], bytes] = bytes

    def sendall(self, data: bytes) -> None:
        """Sends, and waits as long as that takes."""
        self.sock.sendall(self.encode(data))

    def push(self, data: bytes) -> None:
        """Sends ``data`` again and again, 2 s long if nsqd takes it, and doesn't end the connection."""
        self.sock.settimeout(0.3)
        until = time.monotonic() + 2
        with suppress(OSError):
            while time.monotonic() < until:
                self.sock.sendall(self.encode(data))

    def reset(self) -> None:
        """Ends the connection as a crash of the machine would."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        """Ends it in order; twice is fine."""
        self.sock.close()


def dial(address: str, *, buffer: int = 0) -> Peer:
    """A connection on which nothing was said; ``buffer`` bytes are what our system keeps unread, 0 for the usual."""
    sock = socket.socket()
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.settimeout(PATIENCE_S)
    host, port = parse_host_port(address)
    sock.connect((host, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Peer(sock)


def join(address: str, layers: str, authority: Authority, *, buffer: int = 0, **settings: object) -> Peer:
    """A client behind its IDENTIFY and its layers' OKs: ``layers`` is one of :data:`LAYERS`."""
    peer = dial(address, buffer=buffer)
    asked = {"tls_v1" if name == "tls" else name: True for name in layers.split()}
    peer.sock.sendall(MAGIC_V2 + encode_identify({"feature_negotiation": True, **asked, **settings}))
    read(peer.sock, int.from_bytes(read(peer.sock, 4)))
    for name in layers.split():
        if name == "tls":
            shake(peer, authority)
            read(peer.sock, 10)
        else:
            peer.encode = pair(name)[0]
            peer.sock.recv(4096)  # its OK, encoded
    return peer


@cache
def _context(authority: Authority) -> ssl.SSLContext:
    return authority.context()


def shake(peer: Peer, authority: Authority) -> Peer:
    """The TLS handshake, on HTTPS too."""
    peer.sock = _context(authority).wrap_socket(peer.sock, server_hostname="127.0.0.1")
    return peer


def client_hello(authority: Authority) -> bytes:
    """How a handshake begins."""
    out = ssl.MemoryBIO()
    half = _context(authority).wrap_bio(ssl.MemoryBIO(), out, server_hostname="127.0.0.1")
    with suppress(ssl.SSLWantReadError):
        half.do_handshake()
    return out.read()


def read(sock: socket.socket, size: int) -> bytes:
    """Exactly so many bytes; raises EOFError."""
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise EOFError(f"the connection ended behind {data!r}")
        data += part
    return data


class Memory(NamedTuple):
    """Bytes."""

    now: int
    peak: int


def memory(daemon: DaemonProcess) -> Memory:
    """What a process has of the machine's memory, and the most that it had since :func:`forget_peak`."""
    lines = Path(f"/proc/{daemon.pid}/status").read_text().splitlines()
    found = {name: text.split() for name, _, text in (line.partition(":") for line in lines)}
    return Memory(int(found["VmRSS"][0]) * 1024, int(found["VmHWM"][0]) * 1024)


def forget_peak(daemon: DaemonProcess) -> int:
    """The peak begins anew; returns what the process has now."""
    Path(f"/proc/{daemon.pid}/clear_refs").write_text("5")
    return memory(daemon).now


def cpu_seconds(daemon: DaemonProcess) -> float:
    """CPU time of a process, its threads included."""
    fields = Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def sockets(daemon: DaemonProcess) -> int:
    """How many a process has open."""
    found = 0
    for descriptor in Path(f"/proc/{daemon.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found += str(descriptor.readlink()).startswith("socket:")
    return found


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Looks again and again at what only a look tells; raises AssertionError."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@contextmanager
def enough_descriptors(count: int) -> Iterator[None]:
    """This process may open so many files, or the test is skipped."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"this user may open no more than {hard} files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def crowd(stack: ExitStack, count: int, make: Callable[[], Peer]) -> list[Peer]:
    """So many of a kind, closed with the stack."""
    peers = []
    for _ in range(count):
        peers.append(make())
        stack.callback(peers[-1].close)
    return peers
