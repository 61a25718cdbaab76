"""A load generator: few system calls, prepared bytes, one thread, so that the daemon is what is measured.

Run as a process of its own (``python -m bench.load MODE ...``); prints one JSON line. Messages of one run
have one size, so that a consumer can find ids by stride.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import struct
import sys
import time
from dataclasses import dataclass, field
from typing import cast

U32 = struct.Struct(">I")
HEAD = 34  # bytes of a message frame before the body
OK = b"\0\0\0\x06\0\0\0\0OK"
HEARTBEAT = struct.pack(">II", 15, 0) + b"_heartbeat_"


@dataclass
class Tally:
    messages: int = 0
    latencies: list[float] = field(default_factory=list)


def connect(address: str, *, magic: bool = True) -> socket.socket:
    host, _, port = address.rpartition(":")
    s = socket.create_connection((host, int(port)), 10)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if magic:
        s.sendall(b"  V2")
    return s


def batch(size: int, count: int) -> bytes:
    return U32.pack(count) + (U32.pack(size) + b"x" * size) * count


def publish_command(topic: str, size: int, count: int, *, http: bool) -> bytes:
    body = b"x" * size if count == 1 else batch(size, count)
    if http:
        path = f"/pub?topic={topic}" if count == 1 else f"/mpub?topic={topic}&binary=true"
        return f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    verb = b"PUB" if count == 1 else b"MPUB"
    return verb + b" " + topic.encode() + b"\n" + U32.pack(len(body)) + body


def publish(args: argparse.Namespace) -> Tally:
    """Each connection keeps ``--window`` commands unanswered."""
    http = args.mode == "http"
    command = publish_command(args.topic, args.size, args.batch, http=http)
    answer = b"\r\n\r\nOK" if http else OK
    selector, tally = selectors.DefaultSelector(), Tally()
    sent_at: dict[socket.socket, float] = {}
    for _ in range(args.conns):
        s = connect(args.address, magic=not http)
        s.sendall(command * args.window)
        sent_at[s] = time.perf_counter()
        selector.register(s, selectors.EVENT_READ)
    end = time.perf_counter() + args.seconds
    while (now := time.perf_counter()) < end:
        for key, _ in selector.select(1):
            s = cast(socket.socket, key.fileobj)
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
    rest: dict[socket.socket, bytes] = {}
    for _ in range(args.conns):
        s = connect(args.address)
        s.sendall(f"SUB {args.topic} {args.channel}\n".encode())
        if s.recv(len(OK), socket.MSG_WAITALL) != OK:
            raise SystemExit("bench: SUB was refused")
        rest[s] = b""
        s.sendall(f"RDY {args.rdy}\n".encode())
        selector.register(s, selectors.EVENT_READ)
    end, fin = time.perf_counter() + args.seconds, struct.Struct("16s")
    while time.perf_counter() < end:
        ready = selector.select(0.5)
        if not ready:
            break
        for key, _ in ready:
            s = cast(socket.socket, key.fileobj)
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
