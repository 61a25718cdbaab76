"""Speaking nsqlookupd's protocol V1 as a nsqd does, and as none should."""

from __future__ import annotations

import json
import socket
from struct import Struct, pack
from types import TracebackType
from typing import Any, Self

from nsqcore.addresses import parse_host_port

_SIZE = Struct(">i")
TIMEOUT_S = 10.0


def identify(**changes: object) -> bytes:
    """IDENTIFY of a nsqd at ``b:4150``; a field that is None is left out."""
    fields: dict[str, object] = {
        "version": "1.3.0",
        "tcp_port": 4150,
        "http_port": 4151,
        "hostname": "h",
        "broadcast_address": "b",
        "topology_zone": "",
        "topology_region": "",
        **changes,
    }
    return identify_with(json.dumps({k: v for k, v in fields.items() if v is not None}).encode())


def identify_with(body: bytes) -> bytes:
    """IDENTIFY with any body."""
    return b"IDENTIFY\n" + pack(">i", len(body)) + body


def split_answers(data: bytes) -> tuple[list[bytes], bytes]:
    """The whole answers in ``data``, and what is left."""
    answers = []
    while len(data) >= _SIZE.size:
        (size,) = _SIZE.unpack_from(data)
        assert size >= 0
        if len(data) < _SIZE.size + size:
            break
        answers.append(data[_SIZE.size : _SIZE.size + size])
        data = data[_SIZE.size + size :]
    return answers, data


class LookupSocket:
    """A blocking connection to a nsqlookupd; every read has a deadline."""

    def __init__(self, address: str, *, magic: bytes = b"  V1") -> None:
        self.sock = socket.create_connection(parse_host_port(address), timeout=TIMEOUT_S)
        host, port = self.sock.getsockname()[:2]
        self.name = f"{host}:{port}"
        """How nsqlookupd names this client: the address of our end."""
        self._rest = b""
        if magic:
            self.send(magic)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Sends raw bytes."""
        self.sock.sendall(data)

    def ask(self, command: bytes) -> bytes:
        """Sends a command and returns its answer."""
        self.send(command)
        return self.answer()

    def answer(self) -> bytes:
        """The next answer; raises EOFError when the connection ends first."""
        while True:
            answers, _ = split_answers(self._rest)
            if answers:
                self._rest = self._rest[_SIZE.size + len(answers[0]) :]
                return answers[0]
            data = self.sock.recv(65536)
            if not data:
                raise EOFError(f"the connection ended with {self._rest!r} unanswered")
            self._rest += data

    def identify(self, **changes: object) -> dict[str, Any]:
        """Identifies as a nsqd; returns what nsqlookupd tells of itself."""
        told = json.loads(self.ask(identify(**changes)))
        assert isinstance(told, dict)
        return told

    def read_to_end(self) -> list[bytes]:
        """All answers until the connection ends, which must be in order (no reset) and between answers."""
        while data := self.sock.recv(65536):
            self._rest += data
        answers, rest = split_answers(self._rest)
        assert rest == b""
        self._rest = b""
        return answers
