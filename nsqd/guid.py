"""Message ids: 16 hex digits of ``(tick - epoch) << 22 | node << 12 | sequence`` (nsqd reference, 3.13).

A tick is 2**20 ns, about a millisecond; the sequence has 12 bits.
"""

from __future__ import annotations

EPOCH = 1288834974288
SEQUENCES = 4096
SUFFIXES = [b"%03x" % i for i in range(SEQUENCES)]
"""The last three digits of every id: formatting one per message would cost more than the rest of it."""


class Ids:
    """The ids of one process: never repeated, never waited for.

    The original makes ids per topic and sleeps when 4,096 are used within a tick or the clock went back;
    this one runs ahead of the clock instead, and catches up when the clock passes it.

    An id is :attr:`prefix` and ``SUFFIXES[sequence]``. Whoever builds frames takes ``sequence`` from here,
    counts on by itself and stores it back: that saves a call per message.
    """

    def __init__(self, node: int) -> None:
        self._node = node
        self._tick = 0
        self.prefix = b""
        self.sequence = SEQUENCES
        self.until = 0
        """Unix ns up to which :meth:`at` would change nothing while there are sequences left."""

    def at(self, now: int) -> int:
        """Makes ready for an id at time ``now`` (Unix ns); returns the sequence to use."""
        tick = (now >> 20) - EPOCH
        if tick > self._tick or self.sequence >= SEQUENCES:
            self._tick, self.sequence = max(tick, self._tick + 1), 0
            self.prefix = b"%013x" % (self._tick << 10 | self._node)
            self.until = self._tick + 1 + EPOCH << 20
        return self.sequence


def made_at(name: bytes) -> int:
    """When an id says that it was made, Unix ns; ``name`` is its 16 hex digits."""
    return (int(name, 16) >> 22) + EPOCH << 20
