"""A load generator: few system calls, prepared bytes, one thread, so that the daemon is what is measured.

Run as a process of its own (``python -m bench.load MODE ...``); prints one JSON line. Messages of one run
have one size, so that a consumer can find ids by stride.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import ssl
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import repeat
from random import Random
from typing import cast

U32 = struct.Struct(">I")
HEAD = 34  # bytes of a message frame before the body
OK = b"\0\0\0\x06\0\0\0\0OK"
KEYS = ["user", "session", "trace", "host", "region", "item", "price", "agent"]
LAYERS = ["tls", "tls+snappy", "snappy", "deflate"]
HEARTBEAT = struct.pack(">II", 15, 0) + b"_heartbeat_"


@dataclass
class Tally:
    messages: int = 0
    latencies: list[float] = field(default_factory=list)


class Connection:
    """A socket that speaks V2, through ``layers`` if there are any: ``tls``, ``snappy``, ``deflate``, ``tls+snappy``."""

    def __init__(self, address: str, layers: str = "", *, magic: bool = True) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), 10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._encode: Callable[[bytes], bytes] | None = None
        self._decode: Callable[[bytes], bytes] | None = None
        if magic:
            self.sendall(b"  V2")
        if layers:
            tls, compression = "tls" in layers, layers.removeprefix("tls").removeprefix("+")
            wanted = {"feature_negotiation": True, "tls_v1": tls, compression or "snappy": bool(compression)}
            body = json.dumps(wanted).encode()
            self.sendall(b"IDENTIFY\n" + U32.pack(len(body)) + body)
            size = U32.unpack(self._socket.recv(4, socket.MSG_WAITALL))[0]
            self._socket.recv(size, socket.MSG_WAITALL)
            if tls:
                # A record at a time is read from the socket, and all of it taken: select sees what is left.
                self._socket = client_context().wrap_socket(self._socket)
                self.expect_ok()
            if compression:
                self._encode, self._decode = snappy() if compression == "snappy" else deflate()
                self.expect_ok()

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def sendall(self, data: bytes) -> None:
        self._socket.sendall(data if self._encode is None else self._encode(data))

    def recv(self, size: int) -> bytes:
        """What is there; with compression it may be nothing yet."""
        data = self._socket.recv(size)
        if not data:
            raise SystemExit("bench: the daemon closed a connection")
        return data if self._decode is None else self._decode(data)

    def expect_ok(self) -> None:
        data = b""
        while len(data) < len(OK):
            data += self.recv(len(OK)) if self._decode is None else self.recv(1 << 16)
        if data != OK:
            raise SystemExit(f"bench: unexpected answer {data!r}")


@cache
def client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def deflate() -> tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]:
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    inflate = zlib.decompressobj(-15)
    return lambda data: compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH), inflate.decompress


def snappy() -> tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]:
    from cramjam import snappy as cramjam

    compressor, rest, identifier = cramjam.Compressor(), bytearray(), b"\xff\x06\x00\x00sNaPpY"

    def encode(data: bytes) -> bytes:
        compressor.compress(data)
        return bytes(compressor.flush())

    def decode(data: bytes) -> bytes:
        """All whole chunks at once; identifiers may be repeated."""
        rest.extend(data)
        end = 0
        while end + 4 <= len(rest):
            stop = end + 4 + int.from_bytes(rest[end + 1 : end + 4], "little")
            if stop > len(rest):
                break
            end = stop
        plain = bytes(cramjam.decompress(identifier + rest[:end])) if end else b""
        del rest[:end]
        return plain

    return encode, decode


def bodies(size: int, count: int, *, varied: bool) -> Iterator[bytes]:
    """Bodies of one size: all the same, or, where they are compressed, lines of a log."""
    if not varied:
        yield from repeat(b"x" * size, count)
        return
    random = Random(count)
    for n in range(count):
        line = f'{{"time":{1700000000 + n},"level":"info","path":"/api/v1/items/{random.randrange(10**6)}"'
        while len(line) < size:
            line += f',"{random.choice(KEYS)}":"{random.randrange(10**9):x}"'
        yield line.encode()[:size]


def batch(size: int, count: int, *, varied: bool) -> bytes:
    return U32.pack(count) + b"".join(U32.pack(size) + body for body in bodies(size, count, varied=varied))


def publish_command(topic: str, size: int, count: int, *, http: bool, varied: bool) -> bytes:
    body = next(bodies(size, 1, varied=varied)) if count == 1 else batch(size, count, varied=varied)
    if http:
        path = f"/pub?topic={topic}" if count == 1 else f"/mpub?topic={topic}&binary=true"
        return f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    verb = b"PUB" if count == 1 else b"MPUB"
    return verb + b" " + topic.encode() + b"\n" + U32.pack(len(body)) + body


def publish(args: argparse.Namespace) -> Tally:
    """Each connection keeps ``--window`` commands unanswered."""
    http = args.mode == "http"
    varied = bool(args.layers)
    command = publish_command(args.topic, args.size, args.batch, http=http, varied=varied)
    answer = b"\r\n\r\nOK" if http else OK
    selector, tally = selectors.DefaultSelector(), Tally()
    sent_at: dict[Connection, float] = {}
    for _ in range(args.conns):
        s = Connection(args.address, args.layers, magic=not http)
        s.sendall(command * args.window)
        sent_at[s] = time.perf_counter()
        selector.register(s, selectors.EVENT_READ)
    end = time.perf_counter() + args.seconds
    while (now := time.perf_counter()) < end:
        for key, _ in selector.select(1):
            s = cast(Connection, key.fileobj)
            data = s.recv(1 << 16)
            answers = data.count(answer)
            if not http and answers * len(OK) + data.count(HEARTBEAT) * len(HEARTBEAT) < len(data) - len(OK):
                raise SystemExit(f"bench: unexpected answer {data[:200]!r}")
            if answers:
                tally.messages += answers * args.batch
                tally.latencies.append(now - sent_at[s])
                s.sendall(command * answers)
                sent_at[s] = time.perf_counter()
    return tally


def consume(args: argparse.Namespace) -> Tally:
    """Finishes everything; stops after ``--seconds``, or when nothing came for a moment."""
    stride = HEAD + args.size
    selector, tally = selectors.DefaultSelector(), Tally()
    rest: dict[Connection, bytes] = {}
    for _ in range(args.conns):
        s = Connection(args.address, args.layers)
        s.sendall(f"SUB {args.topic} {args.channel}\n".encode())
        s.expect_ok()
        rest[s] = b""
        s.sendall(f"RDY {args.rdy}\n".encode())
        selector.register(s, selectors.EVENT_READ)
    end, fin = time.perf_counter() + args.seconds, struct.Struct("16s")
    while time.perf_counter() < end:
        ready = selector.select(0.5)
        if not ready:
            break
        for key, _ in ready:
            s = cast(Connection, key.fileobj)
            data = (rest[s] + s.recv(1 << 20)).replace(HEARTBEAT, b"")
            count = len(data) // stride
            rest[s] = data[count * stride :]
            if count:
                ids = [fin.unpack_from(data, at)[0] for at in range(18, count * stride, stride)]
                s.sendall(b"FIN " + b"\nFIN ".join(ids) + b"\n")
                tally.messages += count
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=["pub", "http", "sub"])
    parser.add_argument("--address", required=True)
    parser.add_argument("--topic", default="bench")
    parser.add_argument("--channel", default="ch")
    parser.add_argument("--size", type=int, default=200)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--conns", type=int, default=2)
    parser.add_argument("--window", type=int, default=1)
    parser.add_argument("--rdy", type=int, default=2500)
    parser.add_argument("--layers", choices=["", *LAYERS], default="")
    parser.add_argument("--seconds", type=float, default=3)
    args = parser.parse_args()
    start = time.perf_counter()
    tally = consume(args) if args.mode == "sub" else publish(args)
    took = time.perf_counter() - start
    latencies = sorted(tally.latencies) or [0.0]
    result = {
        "messages": tally.messages,
        "seconds": took,
        "p50": latencies[len(latencies) // 2],
        "p99": latencies[len(latencies) * 99 // 100],
    }
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
