"""What this machine takes for fixed work of nsqd's kind, so that costs can be told as multiples of it.

Two halves, as nsqd's time has two: an echo over loopback is the kernel's, cutting frames out of bytes the
interpreter's. Neither touches code of this project. One thread is both ends of the echo: between two processes
it would cost several times more or less, as the scheduler puts them on one core or on two.
"""

from __future__ import annotations

import socket
import struct
import time

ECHOES = 20_000
ECHO_BYTES = 200
FRAMES = 1_000_000
BLOCK = 1000
"""Frames that are cut out of one piece of bytes."""
FRAME = struct.Struct(">IIqH16s")
"""The head of a message frame."""


def yardstick() -> float:
    """CPU microseconds of one echo and of FRAMES / ECHOES parsed frames together; takes a third of a second."""
    return (echo_seconds() + parse_seconds()) / ECHOES * 1e6


def echo_seconds() -> float:
    """CPU seconds to send ECHOES small packets over loopback, one at a time, and to get them back."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), 10) as here,
    ):
        there = server.accept()[0]
        with there:
            for end in here, there:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            packet = b"x" * ECHO_BYTES
            start = time.process_time()
            for _ in range(ECHOES):
                here.sendall(packet)
                there.sendall(there.recv(ECHO_BYTES))
                here.recv(ECHO_BYTES)
            return time.process_time() - start


def parse_seconds() -> float:
    """CPU seconds to cut FRAMES heads out of bytes and to keep their ids by their times."""
    data = b"".join(FRAME.pack(FRAME.size - 4, 2, n, 1, b"%016x" % n) for n in range(BLOCK))
    start = time.process_time()
    for _ in range(FRAMES // BLOCK):
        kept, at = {}, 0
        while at < len(data):
            size, _, when, _, found = FRAME.unpack_from(data, at)
            kept[when] = found
            at += size + 4
    return time.process_time() - start
