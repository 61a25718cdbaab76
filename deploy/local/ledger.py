"""Who got what: sets of (file, line) small enough for millions, and the sums drawn from them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgpack


class Ledger:
    """A set of (file, line) pairs, one bit each, and a count of how often a pair was added."""

    __slots__ = ("_bits", "added", "distinct")

    def __init__(self) -> None:
        self._bits: dict[str, bytearray] = {}
        self.added = 0
        """Pairs added, repetitions included."""
        self.distinct = 0
        """Pairs added, each counted once."""

    def add(self, file: str, line: int) -> bool:
        """Adds a pair; whether it is new. ``line`` must not be negative."""
        self.added += 1
        bits = self._bits.get(file)
        if bits is None:
            bits = self._bits[file] = bytearray()
        at, bit = line >> 3, 1 << (line & 7)
        if at >= len(bits):
            bits.extend(bytes(at + 1 - len(bits)))
        elif bits[at] & bit:
            return False
        bits[at] |= bit
        self.distinct += 1
        return True

    def merge(self, other: Ledger) -> None:
        """Adds all that ``other`` has, its repetitions too."""
        for file, theirs in other._bits.items():
            ours = self._bits.get(file, bytearray())
            both = int.from_bytes(ours, "little") | int.from_bytes(theirs, "little")
            self._bits[file] = bytearray(both.to_bytes(max(len(ours), len(theirs)), "little"))
        self.added += other.added
        self._count()

    def minus(self, other: Ledger) -> Ledger:
        """The pairs that ``other`` does not have."""
        rest = Ledger()
        for file, ours in self._bits.items():
            theirs = int.from_bytes(other._bits.get(file, b""), "little")
            left = int.from_bytes(ours, "little") & ~theirs
            if left:
                rest._bits[file] = bytearray(left.to_bytes(len(ours), "little"))
        rest._count()
        rest.added = rest.distinct
        return rest

    def _count(self) -> None:
        self.distinct = sum(int.from_bytes(bits, "little").bit_count() for bits in self._bits.values())

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """Each pair once: files in the order added, their lines ascending."""
        for file, bits in self._bits.items():
            for at, byte in enumerate(bits):
                if byte:
                    for bit in range(8):
                        if byte >> bit & 1:
                            yield file, at * 8 + bit

    def dump(self) -> bytes:
        """For :meth:`load` in another process."""
        packed: bytes = msgpack.packb([self.added, self._bits])
        return packed

    @classmethod
    def load(cls, data: bytes) -> Ledger:
        """The ledger that :meth:`dump` wrote."""
        ledger = cls()
        added, bits = msgpack.unpackb(data)
        ledger._bits = {file: bytearray(packed) for file, packed in bits.items()}
        ledger.added = added
        ledger._count()
        return ledger


@dataclass(frozen=True)
class Account:
    """What one channel made of all that was published."""

    channel: str
    published: int
    delivered: int
    duplicates: int
    missing: int
    unexpected: int
    """Distinct pairs delivered that nobody published: a damaged message, or a stranger's."""
    examples: tuple[tuple[str, int], ...]
    """The first few missing (file, line) pairs."""


def settle(channel: str, published: Ledger, received: Iterable[Ledger], *, examples: int = 3) -> Account:
    """Compares what was published with what all consumers of a channel got, taken together."""
    union = Ledger()
    for ledger in received:
        union.merge(ledger)
    lost = published.minus(union)
    return Account(
        channel,
        published=published.distinct,
        delivered=union.added,
        duplicates=union.added - union.distinct,
        missing=lost.distinct,
        unexpected=union.minus(published).distinct,
        examples=tuple(itertools.islice(lost, examples)),
    )
