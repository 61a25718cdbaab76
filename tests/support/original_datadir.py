"""Makes data folders as an original nsqd 1.3.0 leaves them: its files, byte by byte, its habits included.

::

    queue = OriginalQueue(folder, "orders:billing")
    queue.write(*(Stored(b"order-%d" % n) for n in range(200)))
    queue.read(30)
    queue.stop()
    write_metadata(folder, {"orders": Topic(channels={"billing": False})})

Nothing in here uses nsqd's own code: the two must not share a mistake.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from struct import pack
from typing import NamedTuple

MAX_BYTES_PER_FILE = 4096


class Stored(NamedTuple):
    """A message on disk; ``attempts`` are its past deliveries."""

    body: bytes
    attempts: int = 0
    timestamp: int = 1_600_000_000_000_000_000
    number: int = 0

    def record(self) -> bytes:
        """Length, timestamp, attempts, id in hex, body."""
        payload = (
            pack(">q", self.timestamp)
            + pack(">H", self.attempts)
            + b"%016x" % (self.number or int.from_bytes(self.body[-7:]))
            + self.body
        )
        return pack(">i", len(payload)) + payload


class OriginalQueue:
    """A disk queue as go-diskqueue 1.1.0 writes it."""

    def __init__(self, folder: Path, name: str, *, max_bytes_per_file: int = MAX_BYTES_PER_FILE) -> None:
        self._folder = folder
        self._name = name
        self._max = max_bytes_per_file
        self._records: list[tuple[int, int]] = []  # (segment, offset behind it) of each
        self._read = 0
        self.write_file = self.write_at = 0

    def path(self, number: int) -> Path:
        """A segment."""
        return self._folder / f"{self._name}.diskqueue.{number:06d}.dat"

    def write(self, *messages: Stored) -> None:
        """Appends; a segment ends before the record that would pass its limit."""
        for message in messages:
            record = message.record()
            if self.write_at > 0 and self.write_at + len(record) > self._max:
                self.write_file, self.write_at = self.write_file + 1, 0
            with self.path(self.write_file).open("ab") as file:
                file.write(record)
            self.write_at += len(record)
            self._records.append((self.write_file, self.write_at))

    def read(self, count: int) -> None:
        """So many messages were delivered and finished. Segments read to their end become ``.bad``, as they do."""
        self._read += count
        current = self._position()[0]
        for number in range(current):
            if self.path(number).exists():
                self.path(number).rename(f"{self.path(number)}.bad")

    def stop(self, *, depth: int | None = None) -> None:
        """The position file of a clean stop."""
        file, at = self._position()
        depth = len(self._records) - self._read if depth is None else depth
        (self._folder / f"{self._name}.diskqueue.meta.dat").write_text(
            f"{depth}\n{file},{at}\n{self.write_file},{self.write_at}\n"
        )

    def _position(self) -> tuple[int, int]:
        if self._read == len(self._records):
            return self.write_file, self.write_at
        file, at = self._records[self._read - 1] if self._read else (0, 0)
        return (file, at) if self._records[self._read][0] == file else (file + 1, 0)


@dataclass
class Topic:
    """A topic in ``nsqd.dat``; ``channels`` are names and whether they are paused."""

    paused: bool = False
    channels: Mapping[str, bool] = field(default_factory=dict)


def write_metadata(folder: Path, topics: Mapping[str, Topic]) -> None:
    """``nsqd.dat``, as Go's encoder writes it."""
    listed = [
        {
            "name": name,
            "paused": topic.paused,
            "channels": [{"name": channel, "paused": paused} for channel, paused in topic.channels.items()]
            or None,
        }
        for name, topic in topics.items()
    ]
    text = json.dumps({"topics": listed or None, "version": "1.3.0"}, separators=(",", ":"))
    (folder / "nsqd.dat").write_text(text)
