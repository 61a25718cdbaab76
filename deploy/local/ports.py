"""Which ports the topology uses: NSQ's usual ones if all are free, else the next free block."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

USUAL = 4150
BLOCK = 100
"""How many ports lie from the base of a block to that of the next."""
_NSQD_BELOW = 5  # so many fit below the ports of nsqlookupd; the others come after those of nsqadmin
_NSQD_ABOVE = 30
MOST_NSQD = _NSQD_BELOW + (BLOCK - _NSQD_ABOVE) // 2
"""More would run into the next block."""
MOST_LOOKUPDS = 5
"""More would run into the port of nsqadmin."""
_LAST = 30_000  # below the range from which systems take the ports of outgoing connections


@dataclass(frozen=True)
class Pair:
    """The TCP and the HTTP port of one daemon."""

    tcp: int
    http: int


@dataclass(frozen=True)
class Ports:
    """A block of ports laid out as NSQ's defaults are: 4150 nsqd, 4160 nsqlookupd, 4171 nsqadmin.

    From the sixth on nsqds begin at 4180.
    """

    base: int
    nsqds: tuple[Pair, ...]
    lookupds: tuple[Pair, ...]
    nsqadmin: int

    @classmethod
    def at(cls, base: int, nsqds: int, lookupds: int) -> Ports:
        """The block that begins at ``base``."""
        return cls(
            base,
            tuple(
                _pair(base, i if i < _NSQD_BELOW else i + _NSQD_ABOVE // 2 - _NSQD_BELOW)
                for i in range(nsqds)
            ),
            tuple(_pair(base + 10, i) for i in range(lookupds)),
            base + 21,
        )

    def __iter__(self) -> Iterator[int]:
        for pair in self.nsqds + self.lookupds:
            yield pair.tcp
            yield pair.http
        yield self.nsqadmin

    def taken(self) -> list[int]:
        """Those that somebody listens on now."""
        return [port for port in self if not _is_free(port)]


def _pair(base: int, index: int) -> Pair:
    return Pair(base + 2 * index, base + 2 * index + 1)


def free_blocks(nsqds: int, lookupds: int) -> Iterator[Ports]:
    """Blocks whose ports are all free at the moment of asking; another program may be quicker."""
    for base in range(USUAL, _LAST, BLOCK):
        ports = Ports.at(base, nsqds, lookupds)
        if not ports.taken():
            yield ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the daemons: TIME_WAIT is no matter
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
