"""A statsd on a real UDP socket, which keeps what it gets.

::

    with closing(Server()) as server, nsqd(folder, server.flag, "--statsd-interval=50ms"):
        until(lambda: "nsq.topic.t.depth" in server.values())
"""

from __future__ import annotations

import socket

from nsqcore.addresses import HostPort


class Server:
    """A statsd that keeps what it gets."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind((host, 0))
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]
        self.flag = f"--statsd-address={HostPort(host, self.port)}"
        self.packets: list[bytes] = []

    def read(self) -> list[bytes]:
        """All packets so far."""
        while True:
            try:
                self.packets.append(self._socket.recv(1 << 16))
            except BlockingIOError:
                return self.packets

    def values(self) -> dict[str, str]:
        """The last value of every key."""
        lines = b"".join(self.read()).decode().splitlines()
        return dict(line.rsplit(":", 1) for line in lines)

    def close(self) -> None:
        self._socket.close()
