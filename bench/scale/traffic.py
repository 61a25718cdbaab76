"""Producers and consumers in any number, driven by one loop in the measuring process."""

from __future__ import annotations

import json
import selectors
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Self, cast

from bench.load import HEAD, HEARTBEAT, OK, U32, Connection
from bench.scale.node import Node

ID = struct.Struct("16s")
ID_AT = 18  # bytes of a message frame before the id: size, type, time, attempts
NOT_A_MESSAGE = b"FIN 0000000000000000\n"
PATIENCE_S = 30.0


def connected(node: Node, count: int) -> list[Connection]:
    """Connections which have said nothing yet."""
    return [Connection(node.tcp) for _ in range(count)]


def publish(connections: Sequence[Connection], commands: Iterable[bytes]) -> None:
    """Sends all commands, one at a time on each connection, and waits for every OK."""
    waiting, left = 0, iter(commands)
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection, selectors.EVENT_READ)
            if (command := next(left, None)) is not None:
                connection.sendall(command)
                waiting += 1
        while waiting:
            for key, _ in _ready(selector):
                connection = cast(Connection, key.fileobj)
                data = connection.recv(1 << 16).replace(HEARTBEAT, b"")
                if not data:
                    continue
                if data != OK:
                    raise SystemExit(f"bench: unexpected answer {data[:200]!r}")
                if (command := next(left, None)) is None:
                    waiting -= 1
                else:
                    connection.sendall(command)


class Consumers:
    """Consumers of messages whose bodies have one size, with RDY 0 at first; use as a context manager."""

    def __init__(self, connections: Sequence[Connection], size: int) -> None:
        self.connections = connections
        self._stride = HEAD + size
        self._rest = dict.fromkeys(connections, b"")
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        for connection in self.connections:
            self._selector.register(connection, selectors.EVENT_READ)
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for connection in self.connections:
            connection.close()

    def ready(self, count: int) -> None:
        """Sends RDY on each connection."""
        for connection in self.connections:
            connection.sendall(b"RDY %d\n" % count)

    def take(self, count: int) -> None:
        """Waits until so many messages came, finishing each."""
        while count > 0:
            for connection, data, messages in self._received():
                count -= messages
                if messages:
                    ids = [ID.unpack_from(data, at)[0] for at in self._places(messages, ID_AT)]
                    connection.sendall(b"FIN " + b"\nFIN ".join(ids) + b"\n")

    def hold(self, count: int) -> list[bytes]:
        """Waits until so many messages came; their ids, none of them finished."""
        ids: list[bytes] = []
        while len(ids) < count:
            for _, data, messages in self._received():
                ids += [ID.unpack_from(data, at)[0] for at in self._places(messages, ID_AT)]
        return ids

    def bodies(self, seconds: float) -> list[bytes]:
        """What comes next, or nothing within so many seconds; it is finished."""
        found: list[bytes] = []
        for connection, data, messages in self._received(seconds):
            if messages:
                ids = [ID.unpack_from(data, at)[0] for at in self._places(messages, ID_AT)]
                connection.sendall(b"FIN " + b"\nFIN ".join(ids) + b"\n")
                found += [data[at : at + self._stride - HEAD] for at in self._places(messages, HEAD)]
        return found

    def settle(self) -> None:
        """Waits until nsqd has worked on all that was sent: it answers a FIN of nothing with an error, in turn."""
        for connection in self.connections:
            connection.sendall(NOT_A_MESSAGE)
            data = connection.recv(1 << 16)
            while b"E_FIN_FAILED" not in data:
                data += connection.recv(1 << 16)

    def _places(self, messages: int, offset: int) -> range:
        return range(offset, messages * self._stride, self._stride)

    def _received(self, seconds: float | None = None) -> Iterator[tuple[Connection, bytes, int]]:
        """Connection, data that begins with whole messages, and how many these are."""
        for key, _ in _ready(self._selector) if seconds is None else self._selector.select(seconds):
            connection = cast(Connection, key.fileobj)
            data = (self._rest[connection] + connection.recv(1 << 20)).replace(HEARTBEAT, b"")
            messages = len(data) // self._stride
            self._rest[connection] = data[messages * self._stride :]
            yield connection, data, messages


def subscribed(node: Node, places: Iterable[tuple[str, str]], size: int, heartbeat_ms: int = 0) -> Consumers:
    """A consumer for each place, a topic and a channel."""
    connections = []
    for topic, channel in places:
        connection = Connection(node.tcp)
        if heartbeat_ms:
            body = json.dumps({"heartbeat_interval": heartbeat_ms}).encode()
            connection.sendall(b"IDENTIFY\n" + U32.pack(len(body)) + body)
            connection.expect_ok()
        connection.sendall(f"SUB {topic} {channel}\n".encode())
        connection.expect_ok()
        connections.append(connection)
    return Consumers(connections, size)


def _ready(selector: selectors.BaseSelector) -> list[tuple[selectors.SelectorKey, int]]:
    ready = selector.select(PATIENCE_S)
    if not ready:
        raise TimeoutError(f"nothing came from nsqd for {PATIENCE_S:g} s")
    return ready
