"""Cuts what is read into records, and records into bundles that fit one command. Pure.

Nothing here is done record by record: a stream has millions of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

HEAD = 4
"""Bytes before each message of an MPUB, and before all of them."""


class Records:
    """Bytes in, as they are read; whole records out, without their delimiters and without the empty ones.

    A record larger than ``max_size`` bytes ends it all: :attr:`refusal` says which, those before it have been
    returned, and nothing is taken any more. So no more than that is ever kept.
    """

    def __init__(self, delimiter: bytes, max_size: int) -> None:
        self.found: int = 0
        """Records so far; empty ones do not count."""
        self.refusal: str = ""
        """Why nothing is taken any more."""
        self._delimiter = delimiter
        self._max_size = max_size
        self._begun: list[bytes] = []
        """The pieces of a record whose end was not read yet, joined once only: it may come in many."""
        self._begun_size = 0

    @property
    def begun(self) -> int:
        """Bytes of a record whose end was not read yet."""
        return self._begun_size

    def add(self, chunk: bytes) -> list[bytes]:
        """The records that end in ``chunk``."""
        cut = chunk.rfind(self._delimiter)
        if cut < 0:
            self._begin(chunk)
            records = list[bytes]()
        else:
            self._begin(chunk[:cut])
            records = self._fitting([record for record in self._taken().split(self._delimiter) if record])
            self._begin(chunk[cut + 1 :])
        if self._begun_size > self._max_size and not self.refusal:
            self._refuse(f"{self._begun_size} bytes or more")
        return records

    def end(self) -> list[bytes]:
        """The last record, where no delimiter follows it."""
        last = self._taken()
        return self._fitting([last] if last else [])

    def _begin(self, piece: bytes) -> None:
        if piece and not self.refusal:
            self._begun.append(piece)
            self._begun_size += len(piece)

    def _taken(self) -> bytes:
        whole = b"".join(self._begun)
        self._begun, self._begun_size = [], 0
        return whole

    def _fitting(self, records: list[bytes]) -> list[bytes]:
        """Those before the first that is too large; all, mostly."""
        if self.refusal:
            return []
        if records and max(map(len, records)) > self._max_size:
            place = next(n for n, record in enumerate(records) if len(record) > self._max_size)
            size = len(records[place])
            del records[place:]
            self.found += place
            self._refuse(f"{size} bytes")
            return records
        self.found += len(records)
        return records

    def _refuse(self, size: str) -> None:
        self.refusal = f"record {self.found + 1} has {size}, the limit of a message is {self._max_size} bytes"
        self._begun, self._begun_size = [], 0


def bundles(records: Sequence[bytes], max_bytes: int) -> Iterator[Sequence[bytes]]:
    """``records`` in their order, as many at a time as an MPUB of ``max_bytes`` takes; a larger one is alone."""
    if HEAD + HEAD * len(records) + sum(map(len, records)) <= max_bytes:
        if records:
            yield records
        return
    ends = list(accumulate(HEAD + len(record) for record in records))
    start = taken = 0
    while start < len(records):
        end = max(start + 1, bisect_right(ends, taken + max_bytes - HEAD))
        yield records[start:end]
        start, taken = end, ends[end - 1]
